// torch.ops.edgekit.sea_step on CPUs and GPUs.

#include "call.h"
#include "gpu_call.h"
#include "kv_cache.h"
#include "sea_estimator.h"

namespace edgekit::torch_binding {
namespace {

Tensor step_out(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos, std::vector<Tensor> weights,
                const Tensor &key_values, const Tensor &keys, const Tensor &values, const Tensor &conv1_rows,
                const Tensor &conv2_rows, const Tensor &k_cache, const Tensor &v_cache, int64_t k_budget,
                std::optional<Tensor> k_scale, std::optional<Tensor> v_scale, Tensor out) {
  const Arguments check("sea_step", "q", q);
  const edgekit_sea_weights w = sea_weights(check, q, weights);
  const edgekit_sea_state state = sea_state(check, w, key_values, keys, values, conv1_rows, conv2_rows);
  const edgekit_kv_cache cache = kv_cache(check, k_cache, v_cache, k_scale, v_scale);
  check.numbers("q", q, {cache.heads, 1, cache.size});
  check.numbers("k", k, {cache.heads, 1, cache.size});
  check.numbers("v", v, {cache.heads, 1, cache.size});
  check.numbers("out", out, {cache.heads, 1, cache.size});
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (!call.launched(edgekit_launch_sea_step(call.stream(), &w, &state, &cache, numbers(q), numbers(k), numbers(v),
                                               start_pos, k_budget, changed(out))))
      torch::stable::copy_(out, reference<1>("sea_step", q, k, v, start_pos, weights, key_values, keys, values,
                                             conv1_rows, conv2_rows, k_cache, v_cache, k_budget, k_scale, v_scale)[0]);
    return out;
  }
  const Call call(edgekit_sea_step_scratch(threads(), &w));
  check_status(edgekit_sea_step(call.context(), &w, &state, &cache, numbers(q), numbers(k), numbers(v), start_pos,
                                k_budget, changed(out)));
  return out;
}

Tensor step(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos, std::vector<Tensor> weights,
            const Tensor &key_values, const Tensor &keys, const Tensor &values, const Tensor &conv1_rows,
            const Tensor &conv2_rows, const Tensor &k_cache, const Tensor &v_cache, int64_t k_budget,
            std::optional<Tensor> k_scale, std::optional<Tensor> v_scale) {
  const Arguments check("sea_step", "q", q);
  check.rank("q", q, 3);
  const Tensor out = check.make_numbers({q.size(0), 1, q.size(2)});
  return step_out(q, k, v, start_pos, std::move(weights), key_values, keys, values, conv1_rows, conv2_rows, k_cache,
                  v_cache, k_budget, std::move(k_scale), std::move(v_scale), out);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sea_step", TORCH_BOX(&step));
  m.impl("sea_step.out", TORCH_BOX(&step_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("sea_step", TORCH_BOX(&step));
  m.impl("sea_step.out", TORCH_BOX(&step_out));
}

}  // namespace edgekit::torch_binding
