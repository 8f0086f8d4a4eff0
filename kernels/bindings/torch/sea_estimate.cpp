// torch.ops.edgekit.sea_estimate on CPUs and GPUs.

#include <tuple>

#include "call.h"
#include "gpu_call.h"
#include "sea_estimator.h"

namespace edgekit::torch_binding {
namespace {

std::tuple<Tensor, Tensor, Tensor> estimate_out(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos,
                                                std::vector<Tensor> weights, const Tensor &key_values,
                                                const Tensor &keys, const Tensor &values, const Tensor &conv1_rows,
                                                const Tensor &conv2_rows, Tensor scores, Tensor gates, Tensor v_mean) {
  const Arguments check("sea_estimate", "q", q);
  const edgekit_sea_weights w = sea_weights(check, q, weights);
  const edgekit_sea_state state = sea_state(check, w, key_values, keys, values, conv1_rows, conv2_rows);
  const int64_t rows = q.size(1);
  check.numbers("q", q, {w.heads, rows, w.size});
  check.numbers("k", k, {w.heads, rows, w.size});
  check.numbers("v", v, {w.heads, rows, w.size});
  check.numbers("scores", scores, {w.heads, rows, w.cells});
  check.numbers("gates", gates, {w.heads, rows, 2});
  check.numbers("v_mean", v_mean, {w.heads, rows, w.size});
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (!call.launched(edgekit_launch_sea_estimate(call.stream(), &w, &state, numbers(q), numbers(k), numbers(v), rows,
                                                   start_pos, changed(scores), changed(gates), changed(v_mean)))) {
      const auto found = reference<3>("sea_estimate", q, k, v, start_pos, weights, key_values, keys, values, conv1_rows,
                                      conv2_rows);
      torch::stable::copy_(scores, found[0]);
      torch::stable::copy_(gates, found[1]);
      torch::stable::copy_(v_mean, found[2]);
    }
    return {scores, gates, v_mean};
  }
  const Call call(edgekit_sea_estimate_scratch(threads(), &w, rows));
  check_status(edgekit_sea_estimate(call.context(), &w, &state, numbers(q), numbers(k), numbers(v), rows, start_pos,
                                    changed(scores), changed(gates), changed(v_mean)));
  return {scores, gates, v_mean};
}

std::tuple<Tensor, Tensor, Tensor> estimate(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos,
                                            std::vector<Tensor> weights, const Tensor &key_values, const Tensor &keys,
                                            const Tensor &values, const Tensor &conv1_rows, const Tensor &conv2_rows) {
  const Arguments check("sea_estimate", "q", q);
  const edgekit_sea_weights w = sea_weights(check, q, weights);
  const auto output = [&](int64_t size) { return check.make_numbers({w.heads, q.size(1), size}); };
  return estimate_out(q, k, v, start_pos, std::move(weights), key_values, keys, values, conv1_rows, conv2_rows,
                      output(w.cells), output(2), output(w.size));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sea_estimate", TORCH_BOX(&estimate));
  m.impl("sea_estimate.out", TORCH_BOX(&estimate_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("sea_estimate", TORCH_BOX(&estimate));
  m.impl("sea_estimate.out", TORCH_BOX(&estimate_out));
}

}  // namespace edgekit::torch_binding
