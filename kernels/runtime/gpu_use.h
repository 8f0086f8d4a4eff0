// The GPU, as a session uses it.
#pragma once

#include "core/bundle.h"
#include "edgekit/gpu.h"

namespace edgekit {

// Whether an instruction of this name has kernels for a GPU; whether it only says where a tensor lies, or computes with
// numbers that are no tensors.
bool runs_on_gpu(const std::string &instruction);
bool reads_no_tensor(const std::string &instruction);

// Whether this bundle's operators go to a GPU, by its manifest and what is forced; then one is open. What keeps them from
// it is logged.
bool prepare_gpu(const Bundle &bundle, const ProgramText &program);

// While it lives, the thread may touch memory that it shares with the GPU.
class GpuTurn {
 public:
  explicit GpuTurn(bool is_used) : is_used_(is_used) {
    if (is_used_) edgekit_gpu_begin(false);
  }
  ~GpuTurn() {
    if (is_used_) edgekit_gpu_end();
  }
  GpuTurn(const GpuTurn &) = delete;
  GpuTurn &operator=(const GpuTurn &) = delete;

 private:
  bool is_used_;
};

// While it lives, operators do not wait for the GPU, if `put_off`.
class GpuDeferral {
 public:
  explicit GpuDeferral(bool put_off) { edgekit_gpu_begin(put_off); }
  edgekit_status end() {
    is_open_ = false;
    return edgekit_gpu_end();
  }
  ~GpuDeferral() {
    if (is_open_) edgekit_gpu_end();
  }
  GpuDeferral(const GpuDeferral &) = delete;
  GpuDeferral &operator=(const GpuDeferral &) = delete;

 private:
  bool is_open_ = true;
};

}  // namespace edgekit
