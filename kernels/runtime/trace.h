// What stands behind the public Trace.
#pragma once

#include <memory>
#include <vector>

#include "core/trace_log.h"

namespace edgekit {

struct Trace::Impl {
  Impl(std::unique_ptr<TraceLog> seen, const std::vector<MethodSpec> &methods);

  std::unique_ptr<TraceLog> log;
  std::vector<TracedRun> runs;
};

}  // namespace edgekit
