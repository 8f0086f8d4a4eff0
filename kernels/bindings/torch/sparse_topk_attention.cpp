// torch.ops.edgekit.sparse_topk_attention on CPUs and GPUs.

#include "call.h"
#include "gpu_call.h"
#include "kv_cache.h"

namespace edgekit::torch_binding {
namespace {

Tensor attention_out(const Tensor &q, const Tensor &k_cache, const Tensor &v_cache, const Tensor &scores,
                     const Tensor &gates, const Tensor &v_mean, int64_t start_pos, int64_t k_budget,
                     std::optional<Tensor> k_scale, std::optional<Tensor> v_scale, Tensor out) {
  const Arguments check("sparse_topk_attention", "q", q);
  const edgekit_kv_cache cache = kv_cache(check, k_cache, v_cache, k_scale, v_scale);
  check.rank("q", q, 3);
  check.rank("scores", scores, 3);
  const int64_t rows = q.size(1), cells = scores.size(2);
  check.numbers("q", q, {cache.heads, rows, cache.size});
  check.numbers("scores", scores, {cache.heads, rows, cells});
  check.numbers("gates", gates, {cache.heads, rows, 2});
  check.numbers("v_mean", v_mean, {cache.heads, rows, cache.size});
  check.numbers("out", out, {cache.heads, rows, cache.size});
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (!call.launched(edgekit_launch_sparse_topk_attention(call.stream(), &cache, numbers(q), numbers(scores),
                                                            numbers(gates), numbers(v_mean), rows, cells, start_pos,
                                                            k_budget, changed(out))))
      torch::stable::copy_(out, reference<1>("sparse_topk_attention", q, k_cache, v_cache, scores, gates, v_mean,
                                             start_pos, k_budget, k_scale, v_scale)[0]);
    return out;
  }
  const Call call(edgekit_sparse_topk_attention_scratch(threads(), cache.heads, cells, cache.size));
  check_status(edgekit_sparse_topk_attention(call.context(), &cache, numbers(q), numbers(scores), numbers(gates),
                                             numbers(v_mean), rows, cells, start_pos, k_budget, changed(out)));
  return out;
}

Tensor attention(const Tensor &q, const Tensor &k_cache, const Tensor &v_cache, const Tensor &scores,
                 const Tensor &gates, const Tensor &v_mean, int64_t start_pos, int64_t k_budget,
                 std::optional<Tensor> k_scale, std::optional<Tensor> v_scale) {
  const Arguments check("sparse_topk_attention", "q", q);
  check.rank("q", q, 3);
  const Tensor out = check.make_numbers({q.size(0), q.size(1), q.size(2)});
  return attention_out(q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale, out);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sparse_topk_attention", TORCH_BOX(&attention));
  m.impl("sparse_topk_attention.out", TORCH_BOX(&attention_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("sparse_topk_attention", TORCH_BOX(&attention));
  m.impl("sparse_topk_attention.out", TORCH_BOX(&attention_out));
}

}  // namespace edgekit::torch_binding
