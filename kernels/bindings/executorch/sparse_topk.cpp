// edgekit::sparse_topk.out for ExecuTorch. Boxed, for it writes two tensors.

#include "call.h"

namespace edgekit::executorch_binding {
namespace {

// (x, k, sorted, values, indices)
void sparse_topk_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::sparse_topk.out");
  const Tensor &x = stack[0]->toTensor();
  const int64_t k = stack[1]->toInt();
  const bool sorted = stack[2]->toBool();
  const Tensor &values = stack[3]->toTensor(), &indices = stack[4]->toTensor();
  const bool half = x.scalar_type() == ScalarType::Half;
  if ((!half && x.scalar_type() != ScalarType::Float) || values.scalar_type() != x.scalar_type())
    return fail(runtime, "sparse_topk: x and values are not both float32 or both float16.");
  if (indices.scalar_type() != ScalarType::Long) return fail(runtime, "sparse_topk: indices is not int64.");
  if (x.dim() < 1) return fail(runtime, "sparse_topk: x has no dimensions.");
  const int64_t n = x.size(x.dim() - 1), rows = n > 0 ? x.numel() / n : 0;
  if (values.numel() != rows * k || indices.numel() != rows * k)
    return fail(runtime, "sparse_topk: values or indices does not have room for k of each row.");
  edgekit_context context;
  const size_t size = k >= 1 && k <= n ? edgekit_sparse_topk_scratch(threads(), n, k) : 0;
  if (!make_context(runtime, size, context)) return;
  check_status(runtime, edgekit_sparse_topk(&context, half ? EDGEKIT_FLOAT16 : EDGEKIT_FLOAT32, x.const_data_ptr(), rows,
                                            n, k, sorted, values.mutable_data_ptr(),
                                            indices.mutable_data_ptr<int64_t>()));
}

const executorch::runtime::Kernel kKernels[] = {
    executorch::runtime::Kernel("edgekit::sparse_topk.out", sparse_topk_out),
};
[[maybe_unused]] const auto kRegistered = executorch::runtime::register_kernels(Span(kKernels));

}  // namespace
}  // namespace edgekit::executorch_binding
