// What every ExecuTorch binding needs: a context on the runtime's thread pool, scratch, checks. No arithmetic here.
#pragma once

#include <executorch/runtime/core/event_tracer_hooks.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_includes.h>
#include <executorch/runtime/kernel/operator_registry.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <initializer_list>

#include "edgekit/ops.h"

namespace edgekit::executorch_binding {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

using Stack = Span<EValue *>;

constexpr size_t kMostDimensions = executorch::runtime::kTensorDimensionLimit;

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

// Fails the kernel with a sentence (printf's format), which goes to the runtime's log.
__attribute__((format(printf, 2, 3))) inline void fail(KernelRuntimeContext &runtime, const char *format, ...) {
  char sentence[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  ET_LOG(Error, "edgekit::%s", sentence);
  runtime.fail(Error::InvalidArgument);
}

// A shape in words: "(2, 3)".
class ShapeText {
 public:
  template <typename Sizes>
  explicit ShapeText(const Sizes &sizes) {
    int length = std::snprintf(text_, sizeof text_, "(");
    const char *separator = "";
    for (const auto size : sizes) {
      if (length >= static_cast<int>(sizeof text_)) return;  // cut
      length += std::snprintf(text_ + length, sizeof text_ - length, "%s%" PRId64, separator, int64_t{size});
      separator = ", ";
    }
    if (length < static_cast<int>(sizeof text_)) std::snprintf(text_ + length, sizeof text_ - length, ")");
  }
  operator const char *() const { return text_; }

 private:
  char text_[64];
};

// Whether the elements lie as the shape says; otherwise the kernel has failed.
inline bool check_layout(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                         const Tensor &tensor) {
  int64_t stride = 1;
  for (ssize_t dimension = tensor.dim(); dimension-- > 0;) {
    const int64_t size = tensor.size(dimension);
    if (tensor.numel() > 0 && size != 1 && tensor.strides()[dimension] != stride) {
      fail(runtime, "%s: %s of shape %s is not contiguous: call .contiguous() on it in the model.", operation, argument,
           static_cast<const char *>(ShapeText(tensor.sizes())));
      return false;
    }
    stride *= size;
  }
  return true;
}

// Whether this is a contiguous tensor of a dtype; otherwise the kernel has failed.
inline bool check_dtype(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                        const Tensor &tensor, ScalarType dtype) {
  if (tensor.scalar_type() == dtype) return check_layout(runtime, operation, argument, tensor);
  fail(runtime, "%s: %s has dtype %s, it must have %s.", operation, argument,
       executorch::runtime::toString(tensor.scalar_type()), executorch::runtime::toString(dtype));
  return false;
}

// Whether this is a contiguous tensor of a dtype and shape; otherwise the kernel has failed.
inline bool check_tensor(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                         const Tensor &tensor, ScalarType dtype, Span<const int64_t> shape) {
  if (!check_dtype(runtime, operation, argument, tensor, dtype)) return false;
  bool fits = tensor.dim() == static_cast<ssize_t>(shape.size());
  for (size_t dimension = 0; fits && dimension < shape.size(); ++dimension)
    fits = tensor.size(static_cast<ssize_t>(dimension)) == shape[dimension];
  if (!fits)
    fail(runtime, "%s: %s has shape %s, it must have %s.", operation, argument,
         static_cast<const char *>(ShapeText(tensor.sizes())), static_cast<const char *>(ShapeText(shape)));
  return fits;
}

inline bool check_tensor(KernelRuntimeContext &runtime, const char *operation, const char *argument,
                         const Tensor &tensor, ScalarType dtype, std::initializer_list<int64_t> shape) {
  return check_tensor(runtime, operation, argument, tensor, dtype, Span(shape.begin(), shape.size()));
}

inline bool check_rank(KernelRuntimeContext &runtime, const char *operation, const char *argument, const Tensor &tensor,
                       ssize_t rank) {
  if (tensor.dim() == rank) return true;
  fail(runtime, "%s: %s has shape %s: give %d dimensions.", operation, argument,
       static_cast<const char *>(ShapeText(tensor.sizes())), static_cast<int>(rank));
  return false;
}

inline const float *numbers(const Tensor &tensor) { return tensor.const_data_ptr<float>(); }

// Gives a contiguous output of a dtype the shape that this call's inputs ask for, which is at most what the program
// planned; false if that cannot be (the kernel has failed then).
inline bool resize(KernelRuntimeContext &runtime, const char *operation, const char *argument, const Tensor &output,
                   ScalarType dtype, Span<const SizesType> shape) {
  if (executorch::runtime::resize_tensor(output, {shape.data(), shape.size()}) == Error::Ok)
    return check_dtype(runtime, operation, argument, output, dtype);
  fail(runtime, "%s: %s has shape %s in the program, this call needs %s.", operation, argument,
       static_cast<const char *>(ShapeText(output.sizes())), static_cast<const char *>(ShapeText(shape)));
  return false;
}

// Registers an operator, unless the library of operators is of another version than this binding: programs that call it
// are refused then.
inline Error register_operator(const char *name, executorch::runtime::OpFunction function) {
  if (edgekit_ops_version() != EDGEKIT_OPS_VERSION) {
    et_pal_init();  // logs are not to be written before
    ET_LOG(Error, "%s: libedgekit_ops.so has version %d, libedgekit_executorch.so needs %d: take both from one edgekit.",
           name, edgekit_ops_version(), EDGEKIT_OPS_VERSION);
    return Error::NotSupported;
  }
  const executorch::runtime::Kernel kernel(name, function);
  return executorch::runtime::register_kernel(kernel);
}

inline bool check_status(KernelRuntimeContext &runtime, edgekit_status status) {
  if (status != EDGEKIT_OK) fail(runtime, "%s", edgekit_last_error());
  return status == EDGEKIT_OK;
}

}  // namespace edgekit::executorch_binding
