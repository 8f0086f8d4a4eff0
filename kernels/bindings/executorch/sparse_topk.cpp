// edgekit::sparse_topk.out for ExecuTorch. Boxed, for it writes two tensors.

#include "call.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "sparse_topk";

// (x, k, sorted, values, indices)
void sparse_topk_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::sparse_topk.out");
  const Tensor &x = stack[0]->toTensor();
  const int64_t k = stack[1]->toInt();
  const bool sorted = stack[2]->toBool();
  const Tensor &values = stack[3]->toTensor(), &indices = stack[4]->toTensor();
  const ScalarType type = x.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half)
    return fail(runtime, "sparse_topk: x has dtype %s: give Float or Half.", executorch::runtime::toString(type));
  const size_t rank = static_cast<size_t>(x.dim());
  SizesType sizes[kMostDimensions];
  if (rank < 1 || rank > kMostDimensions)
    return fail(runtime, "sparse_topk: x has %zu dimensions: give 1 to %zu.", rank, kMostDimensions);
  int64_t rows = 1;
  for (size_t dimension = 0; dimension + 1 < rank; ++dimension) {
    sizes[dimension] = x.sizes()[dimension];
    rows *= sizes[dimension];
  }
  const int64_t n = x.sizes()[rank - 1];
  if (k < 1 || k > n)
    return fail(runtime, "sparse_topk: k is %" PRId64 ": give 1 to x's last dimension, %" PRId64 ".", k, n);
  sizes[rank - 1] = static_cast<SizesType>(k);
  if (!check_layout(runtime, kName, "x", x) || !resize(runtime, kName, "values", values, type, {sizes, rank}) ||
      !resize(runtime, kName, "indices", indices, ScalarType::Long, {sizes, rank}))
    return;
  edgekit_context context;
  if (!make_context(runtime, edgekit_sparse_topk_scratch(threads(), n, k), context)) return;
  check_status(runtime, edgekit_sparse_topk(&context, type == ScalarType::Half ? EDGEKIT_FLOAT16 : EDGEKIT_FLOAT32,
                                            x.const_data_ptr(), rows, n, k, sorted, values.mutable_data_ptr(),
                                            indices.mutable_data_ptr<int64_t>()));
}

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::sparse_topk.out", sparse_topk_out);

}  // namespace
}  // namespace edgekit::executorch_binding
