// torch.ops.edgekit.sparse_topk on the CPU.

#include <tuple>

#include "call.h"

namespace edgekit::torch_binding {
namespace {

constexpr char kName[] = "sparse_topk";

void run(const Tensor &x, int64_t k, bool sorted, const Tensor &values, const Tensor &indices) {
  const auto dtype = x.scalar_type();
  if (dtype != ScalarType::Float && dtype != ScalarType::Half)
    raise("sparse_topk: x has dtype " + std::to_string(static_cast<int>(dtype)) +
          " (torch's ScalarType): give float32 or float16.");
  const int64_t n = x.size(-1);
  const int64_t rows = n > 0 ? x.numel() / n : 0;
  const Call call(k >= 1 && k <= n ? edgekit_sparse_topk_scratch(threads(), n, k) : 0);
  check_status(edgekit_sparse_topk(call.context(), dtype == ScalarType::Float ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16,
                                   x.const_data_ptr(), rows, n, k, sorted, values.mutable_data_ptr(),
                                   static_cast<int64_t *>(indices.mutable_data_ptr())));
}

void check_input(const Tensor &x) {
  check_layout(kName, "x", x);
  if (x.dim() < 1 || x.dim() > 8) raise("sparse_topk: x has " + std::to_string(x.dim()) + " dimensions: give 1 to 8.");
}

std::tuple<Tensor, Tensor> sparse_topk(const Tensor &x, int64_t k, bool sorted) {
  check_input(x);
  if (k < 1 || k > x.size(-1))
    raise("sparse_topk: k is " + std::to_string(k) + ": give 1 to x's last dimension, " + std::to_string(x.size(-1)) + ".");
  int64_t sizes[8];
  const int64_t rank = x.dim();
  for (int64_t dimension = 0; dimension < rank; ++dimension) sizes[dimension] = x.size(dimension);
  sizes[rank - 1] = k;
  int32_t dtype;
  aoti_torch_get_dtype(x.get(), &dtype);
  const Tensor values = make(sizes, rank, dtype), indices = make(sizes, rank, aoti_torch_dtype_int64());
  run(x, k, sorted, values, indices);
  return {values, indices};
}

std::tuple<Tensor, Tensor> sparse_topk_out(const Tensor &x, int64_t k, bool sorted, Tensor values, Tensor indices) {
  check_input(x);
  check_layout(kName, "values", values);
  check_layout(kName, "indices", indices);
  const int64_t n = x.size(-1);
  if (values.scalar_type() != x.scalar_type()) raise("sparse_topk: values has another dtype than x.");
  if (indices.scalar_type() != ScalarType::Long) raise("sparse_topk: indices is not int64.");
  const int64_t wanted = n > 0 ? x.numel() / n * k : 0;
  if (values.numel() != wanted || indices.numel() != wanted)
    raise("sparse_topk: values or indices does not have x's shape with k = " + std::to_string(k) + " in its last place.");
  run(x, k, sorted, values, indices);
  return {values, indices};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sparse_topk", TORCH_BOX(&sparse_topk));
  m.impl("sparse_topk.out", TORCH_BOX(&sparse_topk_out));
}

}  // namespace edgekit::torch_binding
