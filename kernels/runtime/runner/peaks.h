// What this machine can do at most, measured by loops made for that: a roofline's ceilings.
#pragma once

#include "request.h"

namespace edgekit {

// Measures and prints: arithmetic by precision, bandwidth by level of memory, and what it costs to start anything. All
// with the threads that operators share (request.threads). Takes a few seconds.
void run_peaks(const Request &request);

}  // namespace edgekit
