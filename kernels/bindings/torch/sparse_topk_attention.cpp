// torch.ops.edgekit.sparse_topk_attention on the CPU.

#include "kv_cache.h"

namespace edgekit::torch_binding {
namespace {

constexpr char kName[] = "sparse_topk_attention";

Tensor attention_out(const Tensor &q, const Tensor &k_cache, const Tensor &v_cache, const Tensor &scores,
                     const Tensor &gates, const Tensor &v_mean, int64_t start_pos, int64_t k_budget,
                     std::optional<Tensor> k_scale, std::optional<Tensor> v_scale, Tensor out) {
  const edgekit_kv_cache cache = kv_cache(kName, k_cache, v_cache, k_scale, v_scale);
  check_rank(kName, "q", q, 3);
  check_rank(kName, "scores", scores, 3);
  const int64_t rows = q.size(1), cells = scores.size(2);
  check_tensor(kName, "q", q, ScalarType::Float, {cache.heads, rows, cache.size});
  check_tensor(kName, "scores", scores, ScalarType::Float, {cache.heads, rows, cells});
  check_tensor(kName, "gates", gates, ScalarType::Float, {cache.heads, rows, 2});
  check_tensor(kName, "v_mean", v_mean, ScalarType::Float, {cache.heads, rows, cache.size});
  check_tensor(kName, "out", out, ScalarType::Float, {cache.heads, rows, cache.size});
  const Call call(edgekit_sparse_topk_attention_scratch(threads(), cache.heads, cells, cache.size));
  const auto numbers = [](const Tensor &tensor) { return static_cast<const float *>(tensor.const_data_ptr()); };
  check_status(edgekit_sparse_topk_attention(call.context(), &cache, numbers(q), numbers(scores), numbers(gates),
                                             numbers(v_mean), rows, cells, start_pos, k_budget,
                                             static_cast<float *>(out.mutable_data_ptr())));
  return out;
}

Tensor attention(const Tensor &q, const Tensor &k_cache, const Tensor &v_cache, const Tensor &scores,
                 const Tensor &gates, const Tensor &v_mean, int64_t start_pos, int64_t k_budget,
                 std::optional<Tensor> k_scale, std::optional<Tensor> v_scale) {
  check_rank(kName, "q", q, 3);
  const int64_t shape[] = {q.size(0), q.size(1), q.size(2)};
  const Tensor out = make(shape, 3, aoti_torch_dtype_float32());
  return attention_out(q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale, out);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sparse_topk_attention", TORCH_BOX(&attention));
  m.impl("sparse_topk_attention.out", TORCH_BOX(&attention_out));
}

}  // namespace edgekit::torch_binding
