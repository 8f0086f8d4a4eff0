// How fast a bundle is here.
#pragma once

#include "edgekit/session.h"
#include "request.h"

namespace edgekit {

// Times a method on zeros; `load_ms` is what opening the session took.
void run_bench(Session &session, const Request &request, double load_ms);

// The process's peak of resident memory in bytes.
int64_t peak_memory();

}  // namespace edgekit
