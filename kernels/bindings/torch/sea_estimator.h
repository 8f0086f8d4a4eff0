// An estimator's weights and state in a torch call.
#pragma once

#include <vector>

#include "../sea_weights.h"
#include "arguments.h"

namespace edgekit::torch_binding {

// Takes the sizes from q and some of the weights, and checks the others' against them.
inline edgekit_sea_weights sea_weights(const Arguments &check, const Tensor &q, const std::vector<Tensor> &weights) {
  check.rank("q", q, 3);
  if (weights.size() != kSeaWeights)
    check.refuse("weights", "has " + std::to_string(weights.size()) + " tensors: give " + std::to_string(kSeaWeights) +
                                ".");
  check.rank("projection", weights[kProjection], 2);
  check.rank("positions", weights[kPositions], 2);
  check.rank("row_norm_weight", weights[kRowNormWeight], 1);
  check.rank("map_weight", weights[kMapWeight], 2);
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
    check.tensor(weight.name, weights[index], type, weight.shape, weight.rank);
    if (index != kMapStart) w.*weight.numbers = numbers(weights[index]);
  }
  w.map_start = static_cast<const int64_t *>(weights[kMapStart].const_data_ptr());
  return w;
}

inline edgekit_sea_state sea_state(const Arguments &check, const edgekit_sea_weights &w, const Tensor &key_values,
                                   const Tensor &keys, const Tensor &values, const Tensor &conv1_rows,
                                   const Tensor &conv2_rows) {
  check.numbers("key_values", key_values, {w.heads, w.features, 2 * w.size});
  check.numbers("keys", keys, {w.heads, w.features});
  check.numbers("values", values, {w.heads, w.size});
  check.numbers("conv1_rows", conv1_rows, {4, 2 * w.heads, w.width});
  check.numbers("conv2_rows", conv2_rows, {4, 2 * w.heads, w.width});
  return {changed(key_values), changed(keys), changed(values), changed(conv1_rows), changed(conv2_rows)};
}

}  // namespace edgekit::torch_binding
