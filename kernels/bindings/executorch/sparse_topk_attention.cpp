// edgekit::sparse_topk_attention.out for ExecuTorch.

#include "kv_cache.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "sparse_topk_attention";

// (q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale, out)
void attention_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::sparse_topk_attention.out");
  edgekit_kv_cache cache;
  if (!kv_cache(runtime, kName, *stack[1], *stack[2], *stack[8], *stack[9], cache)) return;
  const Tensor &q = stack[0]->toTensor(), &scores = stack[3]->toTensor(), &gates = stack[4]->toTensor();
  const Tensor &v_mean = stack[5]->toTensor(), &out = stack[10]->toTensor();
  const int64_t start_pos = stack[6]->toInt(), k_budget = stack[7]->toInt();
  if (!check_rank(runtime, kName, "q", q, 3) || !check_rank(runtime, kName, "scores", scores, 3)) return;
  const int64_t rows = q.size(1), cells = scores.size(2);
  if (!check_tensor(runtime, kName, "q", q, ScalarType::Float, {cache.heads, rows, cache.size}) ||
      !check_tensor(runtime, kName, "scores", scores, ScalarType::Float, {cache.heads, rows, cells}) ||
      !check_tensor(runtime, kName, "gates", gates, ScalarType::Float, {cache.heads, rows, 2}) ||
      !check_tensor(runtime, kName, "v_mean", v_mean, ScalarType::Float, {cache.heads, rows, cache.size}) ||
      !resize(runtime, kName, "out", out, ScalarType::Float, {q.sizes().data(), 3}))
    return;
  edgekit_context context;
  const size_t size = edgekit_sparse_topk_attention_scratch(threads(), cache.heads, cells, cache.size);
  if (!make_context(runtime, size, context)) return;
  check_status(runtime, edgekit_sparse_topk_attention(&context, &cache, numbers(q), numbers(scores), numbers(gates),
                                                      numbers(v_mean), rows, cells, start_pos, k_budget,
                                                      out.mutable_data_ptr<float>()));
}

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::sparse_topk_attention.out", attention_out);

}  // namespace
}  // namespace edgekit::executorch_binding
