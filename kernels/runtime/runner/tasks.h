// The parts of the runner that know a task.
#pragma once

#include "edgekit/session.h"
#include "request.h"

namespace edgekit {

void run_detect_anomalies(Session &session, const Request &request);
void run_generate_text(Session &session, const Request &request);
void run_segment(Session &session, const Request &request);
void run_tensors(Session &session, const Request &request);

}  // namespace edgekit
