// What went on on a GPU.
#pragma once

#include "core/json.h"
#include "edgekit/gpu.h"
#include "edgekit/session.h"

namespace edgekit {

// Counts of the process between two moments.
class GpuCounts {
 public:
  GpuCounts() { edgekit_gpu_count(&before_); }
  // Since then: per call of the session, of which there were `calls`; kernels by operator.
  Json json(int64_t calls) const;

 private:
  edgekit_gpu_counts before_;
};

// Which GPU operators went to, and why none is used; null where none was looked for.
Json gpu_json(const Session &session);

// "GPU: ...", a line, with what a call of a case costs.
void print_gpu(const Json &gpu, const Json &cases);

}  // namespace edgekit
