// torch.ops.edgekit.sparse_topk on CPUs and GPUs.

#include <tuple>

#include "call.h"
#include "gpu_call.h"

namespace edgekit::torch_binding {
namespace {

void run(const Arguments &check, const Tensor &x, int64_t k, bool sorted, Tensor &values, Tensor &indices) {
  const auto type = x.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half)
    check.refuse("x", "has dtype " + std::to_string(static_cast<int>(type)) +
                          " (torch's ScalarType): give float32 or float16.");
  const edgekit_dtype dtype = type == ScalarType::Float ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16;
  const int64_t n = x.size(-1);
  const int64_t rows = n > 0 ? x.numel() / n : 0;
  auto *places = static_cast<int64_t *>(indices.mutable_data_ptr());
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (call.launched(edgekit_launch_sparse_topk(call.stream(), dtype, x.const_data_ptr(), rows, n, k, sorted,
                                                 values.mutable_data_ptr(), places)))
      return;
    const auto found = reference<2>("sparse_topk", x, k, sorted);
    torch::stable::copy_(values, found[0]);
    torch::stable::copy_(indices, found[1]);
    return;
  }
  const Call call(k >= 1 && k <= n ? edgekit_sparse_topk_scratch(threads(), n, k) : 0);
  check_status(edgekit_sparse_topk(call.context(), dtype, x.const_data_ptr(), rows, n, k, sorted,
                                   values.mutable_data_ptr(), places));
}

Arguments check_input(const Tensor &x) {
  const Arguments check("sparse_topk", "x", x);
  check.layout("x", x);
  if (x.dim() < 1 || x.dim() > 8) check.refuse("x", "has " + std::to_string(x.dim()) + " dimensions: give 1 to 8.");
  return check;
}

std::tuple<Tensor, Tensor> sparse_topk(const Tensor &x, int64_t k, bool sorted) {
  const Arguments check = check_input(x);
  if (k < 1 || k > x.size(-1))
    check.refuse("k", "is " + std::to_string(k) + ": give 1 to x's last dimension, " + std::to_string(x.size(-1)) + ".");
  int64_t sizes[8];
  const int64_t rank = x.dim();
  for (int64_t dimension = 0; dimension < rank; ++dimension) sizes[dimension] = x.size(dimension);
  sizes[rank - 1] = k;
  int32_t dtype;
  aoti_torch_get_dtype(x.get(), &dtype);
  Tensor values = check.make(sizes, rank, dtype), indices = check.make(sizes, rank, aoti_torch_dtype_int64());
  run(check, x, k, sorted, values, indices);
  return {values, indices};
}

std::tuple<Tensor, Tensor> sparse_topk_out(const Tensor &x, int64_t k, bool sorted, Tensor values, Tensor indices) {
  const Arguments check = check_input(x);
  check.layout("values", values);
  check.layout("indices", indices);
  const int64_t n = x.size(-1);
  if (values.scalar_type() != x.scalar_type()) check.refuse("values", "has another dtype than x.");
  if (indices.scalar_type() != ScalarType::Long) check.refuse("indices", "is not int64.");
  const int64_t wanted = n > 0 ? x.numel() / n * k : 0;
  if (values.numel() != wanted || indices.numel() != wanted)
    raise("sparse_topk: values or indices does not have x's shape with k = " + std::to_string(k) + " in its last place.");
  run(check, x, k, sorted, values, indices);
  return {values, indices};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sparse_topk", TORCH_BOX(&sparse_topk));
  m.impl("sparse_topk.out", TORCH_BOX(&sparse_topk_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("sparse_topk", TORCH_BOX(&sparse_topk));
  m.impl("sparse_topk.out", TORCH_BOX(&sparse_topk_out));
}

}  // namespace edgekit::torch_binding
