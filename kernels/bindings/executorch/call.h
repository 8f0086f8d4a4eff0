// What every ExecuTorch binding needs: a context on the runtime's thread pool, scratch, checks. No arithmetic here.
#pragma once

#include <executorch/runtime/core/event_tracer_hooks.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_includes.h>
#include <executorch/runtime/kernel/operator_registry.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <initializer_list>

#include "edgekit/ops.h"

namespace edgekit::executorch_binding {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

using Stack = Span<EValue *>;

// While it lives, the time counts as a call of this name in ExecuTorch's profile (ETDump).
class Traced {
 public:
  Traced(KernelRuntimeContext &runtime, const char *name) : scope_(runtime.internal_event_tracer(), name) {}

 private:
  executorch::runtime::internal::EventTracerProfileOpScope scope_;
};

inline int threads() { return static_cast<int>(executorch::extension::get_thread_count()); }

inline void run_tasks(void *, int tasks, void (*task)(void *, int), void *argument) {
  executorch::extension::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) task(argument, static_cast<int>(index));
  });
}

// A context with scratch from the runtime; false if the runtime has none (the kernel has failed then).
inline bool make_context(KernelRuntimeContext &runtime, size_t scratch_size, edgekit_context &context) {
  void *scratch = nullptr;
  if (scratch_size > 0) {
    auto result = runtime.allocate_temp(scratch_size, 64);
    if (!result.ok()) {
      runtime.fail(result.error());
      return false;
    }
    scratch = result.get();
  }
  context = {scratch, scratch_size, threads(), run_tasks, nullptr};
  return true;
}

// Fails the kernel with a sentence, which goes to the runtime's log.
inline void fail(KernelRuntimeContext &runtime, const char *sentence) {
  ET_LOG(Error, "edgekit::%s", sentence);
  runtime.fail(Error::InvalidArgument);
}

// Gives an output the shape that this call's inputs ask for, which is at most what the program planned; false if that
// cannot be (the kernel has failed then).
inline bool resize(KernelRuntimeContext &runtime, const Tensor &output, const executorch::aten::SizesType *sizes,
                   size_t rank) {
  const Error error = executorch::runtime::resize_tensor(output, {sizes, rank});
  if (error != Error::Ok) runtime.fail(error);
  return error == Error::Ok;
}

inline bool check_status(KernelRuntimeContext &runtime, edgekit_status status) {
  if (status != EDGEKIT_OK) fail(runtime, edgekit_last_error());
  return status == EDGEKIT_OK;
}

// A tensor of this dtype and shape; otherwise the kernel has failed.
inline bool check_tensor(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                         const Tensor &tensor, ScalarType dtype, const int64_t *shape, size_t rank) {
  bool fits = tensor.scalar_type() == dtype && tensor.dim() == static_cast<ssize_t>(rank);
  for (size_t dimension = 0; fits && dimension < rank; ++dimension)
    fits = tensor.size(static_cast<ssize_t>(dimension)) == shape[dimension];
  if (fits) return true;
  ET_LOG(Error, "edgekit::%s: %s (dtype %d, %d dimensions) does not have the dtype and shape that the others ask for.",
         operation, argument, static_cast<int>(tensor.scalar_type()), static_cast<int>(tensor.dim()));
  runtime.fail(Error::InvalidArgument);
  return false;
}

inline bool check_tensor(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                         const Tensor &tensor, ScalarType dtype, std::initializer_list<int64_t> shape) {
  return check_tensor(runtime, operation, argument, tensor, dtype, shape.begin(), shape.size());
}

inline const float *numbers(const Tensor &tensor) { return tensor.const_data_ptr<float>(); }

}  // namespace edgekit::executorch_binding
