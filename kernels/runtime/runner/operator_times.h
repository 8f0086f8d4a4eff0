// The operators of a case, with their times.
#pragma once

#include <cstdint>

#include "bench_case.h"
#include "core/json.h"
#include "edgekit/session.h"
#include "memory_timeline.h"

namespace edgekit {

// Runs a case `runs` times with every operator timed and as often without, by turns, so that what changes on the machine
// meanwhile meets both:
//
//   runs, p50_ms, untraced_p50_ms   of the calls, as the caller sees them
//   start_us                        when the run began, on the timeline, whose total is the traced runs' median
//   events                          of that run, with start_us from its start and us; p50_us is over all of the runs
Json time_operators(Session &session, const CaseText &text, int64_t runs, const MemoryTimeline &timeline);

}  // namespace edgekit
