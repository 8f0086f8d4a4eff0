// torch.ops.edgekit.sea_estimate on the CPU.

#include <tuple>
#include <vector>

#include "../sea_weights.h"
#include "call.h"

namespace edgekit::torch_binding {
namespace {

constexpr char kName[] = "sea_estimate";

const float *numbers(const Tensor &tensor) { return static_cast<const float *>(tensor.const_data_ptr()); }
float *changed(const Tensor &tensor) { return static_cast<float *>(tensor.mutable_data_ptr()); }

// Takes the sizes from q and some of the weights, and checks the others' against them.
edgekit_sea_weights make_weights(const Tensor &q, const std::vector<Tensor> &weights) {
  check_rank(kName, "q", q, 3);
  if (weights.size() != kSeaWeights)
    raise("sea_estimate: weights has " + std::to_string(weights.size()) + " tensors: give " +
          std::to_string(kSeaWeights) + ".");
  check_rank(kName, "projection", weights[kProjection], 2);
  check_rank(kName, "positions", weights[kPositions], 2);
  check_rank(kName, "row_norm_weight", weights[kRowNormWeight], 1);
  check_rank(kName, "map_weight", weights[kMapWeight], 2);
  edgekit_sea_weights w{};
  w.heads = q.size(0);
  w.size = q.size(2);
  w.features = weights[kProjection].size(0);
  w.capacity = weights[kPositions].size(0);
  w.width = weights[kRowNormWeight].size(0);
  w.cells = weights[kMapWeight].size(0);
  w.taps = weights[kMapWeight].size(1);
  const SeaWeightTable table(w);
  for (size_t index = 0; index < kSeaWeights; ++index) {
    const SeaWeight &weight = table.weights[index];
    const ScalarType type = index == kMapStart ? ScalarType::Long : ScalarType::Float;
    check_tensor(kName, weight.name, weights[index], type, weight.shape, weight.rank);
    if (index != kMapStart) w.*weight.numbers = numbers(weights[index]);
  }
  w.map_start = static_cast<const int64_t *>(weights[kMapStart].const_data_ptr());
  return w;
}

void check_numbers(const char *argument, const Tensor &tensor, std::initializer_list<int64_t> shape) {
  check_tensor(kName, argument, tensor, ScalarType::Float, shape);
}

// Into outputs that fit.
std::tuple<Tensor, Tensor, Tensor> run(const edgekit_sea_weights &w, const Tensor &q, const Tensor &k, const Tensor &v,
                                       int64_t start_pos, const edgekit_sea_state &state, const Tensor &scores,
                                       const Tensor &gates, const Tensor &v_mean) {
  const int64_t rows = q.size(1);
  check_numbers("q", q, {w.heads, rows, w.size});
  check_numbers("k", k, {w.heads, rows, w.size});
  check_numbers("v", v, {w.heads, rows, w.size});
  const Call call(edgekit_sea_estimate_scratch(threads(), &w, rows));
  check_status(edgekit_sea_estimate(call.context(), &w, &state, numbers(q), numbers(k), numbers(v), rows, start_pos,
                                    changed(scores), changed(gates), changed(v_mean)));
  return {scores, gates, v_mean};
}

edgekit_sea_state make_state(const edgekit_sea_weights &w, const Tensor &key_values, const Tensor &keys,
                             const Tensor &values, const Tensor &conv1_rows, const Tensor &conv2_rows) {
  check_numbers("key_values", key_values, {w.heads, w.features, 2 * w.size});
  check_numbers("keys", keys, {w.heads, w.features});
  check_numbers("values", values, {w.heads, w.size});
  check_numbers("conv1_rows", conv1_rows, {4, 2 * w.heads, w.width});
  check_numbers("conv2_rows", conv2_rows, {4, 2 * w.heads, w.width});
  return {changed(key_values), changed(keys), changed(values), changed(conv1_rows), changed(conv2_rows)};
}

std::tuple<Tensor, Tensor, Tensor> estimate_out(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos,
                                                std::vector<Tensor> weights, const Tensor &key_values,
                                                const Tensor &keys, const Tensor &values, const Tensor &conv1_rows,
                                                const Tensor &conv2_rows, Tensor scores, Tensor gates, Tensor v_mean) {
  const edgekit_sea_weights w = make_weights(q, weights);
  const int64_t rows = q.size(1);
  check_numbers("scores", scores, {w.heads, rows, w.cells});
  check_numbers("gates", gates, {w.heads, rows, 2});
  check_numbers("v_mean", v_mean, {w.heads, rows, w.size});
  return run(w, q, k, v, start_pos, make_state(w, key_values, keys, values, conv1_rows, conv2_rows), scores, gates,
             v_mean);
}

std::tuple<Tensor, Tensor, Tensor> estimate(const Tensor &q, const Tensor &k, const Tensor &v, int64_t start_pos,
                                            std::vector<Tensor> weights, const Tensor &key_values, const Tensor &keys,
                                            const Tensor &values, const Tensor &conv1_rows, const Tensor &conv2_rows) {
  const edgekit_sea_weights w = make_weights(q, weights);
  const edgekit_sea_state state = make_state(w, key_values, keys, values, conv1_rows, conv2_rows);
  const auto output = [&](int64_t size) {
    const int64_t shape[] = {w.heads, q.size(1), size};
    return make(shape, 3, aoti_torch_dtype_float32());
  };
  return run(w, q, k, v, start_pos, state, output(w.cells), output(2), output(w.size));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("sea_estimate", TORCH_BOX(&estimate));
  m.impl("sea_estimate.out", TORCH_BOX(&estimate_out));
}

}  // namespace edgekit::torch_binding
