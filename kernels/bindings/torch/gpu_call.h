// A call on a GPU: on torch's current stream, with memory of torch's allocator; and the reference, where no kernel
// takes it.
#pragma once

#include <torch/csrc/stable/accelerator.h>

#include <array>
#include <atomic>
#include <vector>

#include "arguments.h"
#include "edgekit/gpu_launch.h"

namespace edgekit::torch_binding {

class GpuCall {
 public:
  explicit GpuCall(const Arguments &arguments)
      : arguments_(arguments),
        gpu_{arguments.device(), torch::stable::accelerator::getCurrentStream(arguments.device()).nativeHandle(),
             allocate, this} {}
  GpuCall(const GpuCall &) = delete;
  GpuCall &operator=(const GpuCall &) = delete;

  const edgekit_gpu_stream *stream() const { return &gpu_; }

  // Whether the kernels were launched; if not, the reference is to be taken. Raises what went wrong.
  bool launched(edgekit_launched result) const {
    if (result == EDGEKIT_LAUNCHED) return true;
    if (result != EDGEKIT_NOT_TAKEN) raise(edgekit_last_error());
    static std::atomic<bool> said = false;
    if (!said.exchange(true))
      aoti_torch_warn(__func__, __FILE__, __LINE__,
                      (std::string(edgekit_last_error()) + " torch's own operators compute, slower.").c_str());
    return false;
  }

 private:
  // The allocator hands memory that is free again to later work of this stream only.
  static void *allocate(void *owner, size_t bytes) {
    auto *call = static_cast<GpuCall *>(owner);
    const int64_t size = static_cast<int64_t>(bytes), stride = 1;
    AtenTensorHandle handle;
    if (aoti_torch_empty_strided(1, &size, &stride, aoti_torch_dtype_uint8(), aoti_torch_device_type_cuda(),
                                 call->gpu_.device, &handle) != 0)
      return nullptr;
    call->scratch_.emplace_back(handle);
    return call->scratch_.back().mutable_data_ptr();
  }

  const Arguments &arguments_;
  std::vector<Tensor> scratch_;
  edgekit_gpu_stream gpu_;
};

// Calls edgekit_reference::NAME (kernels/ops.py), which has `Results` outputs and is given what the operator was.
template <size_t Results, typename... Given>
std::array<Tensor, Results> reference(const char *operation, const Given &...given) {
  StableIValue stack[sizeof...(Given) > Results ? sizeof...(Given) : Results] = {torch::stable::detail::from(given)...};
  const std::string name = std::string("edgekit_reference::") + operation;
  if (torch_call_dispatcher(name.c_str(), "", stack, TORCH_ABI_VERSION) != 0)
    raise(torch_exception_get_what_without_backtrace());
  std::array<Tensor, Results> results;
  for (size_t place = 0; place < Results; ++place) results[place] = torch::stable::detail::to<Tensor>(stack[place]);
  return results;
}

}  // namespace edgekit::torch_binding
