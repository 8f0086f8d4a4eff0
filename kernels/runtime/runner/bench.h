// How fast a bundle is here, and what it takes of memory.
#pragma once

#include "edgekit/session.h"
#include "memory_parts.h"
#include "memory_timeline.h"
#include "request.h"

namespace edgekit {

// Loads every method (or request.method alone), runs each once on zeros of its largest shapes, times the cases, and with
// request.operators their operators. `open_ms` is what opening the session took; `memory` and `timeline` were made
// before that.
void run_bench(Session &session, const Request &request, double open_ms, MemoryParts &memory, MemoryTimeline &timeline);

}  // namespace edgekit
