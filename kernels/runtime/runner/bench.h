// How fast a bundle is here, and what it takes of memory.
#pragma once

#include "edgekit/session.h"
#include "memory_parts.h"
#include "request.h"

namespace edgekit {

// Loads every method (or request.method alone), runs each once on zeros of its largest shapes, and times the first of
// them (or request.method). `open_ms` is what opening the session took; `memory` was made before that.
void run_bench(Session &session, const Request &request, double open_ms, MemoryParts &memory);

}  // namespace edgekit
