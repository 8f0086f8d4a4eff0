// An estimator's weights and state in the device's memory, for a call.
#pragma once

#include "../../bindings/sea_weights.h"
#include "cuda/call.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {

inline edgekit_sea_weights on_device(cuda::Call &call, const edgekit_sea_weights &weights) {
  edgekit_sea_weights w = weights;
  const SeaWeightTable table(weights);
  for (const SeaWeight &weight : table.weights) {
    if (weight.numbers == nullptr) continue;
    int64_t count = 1;
    for (size_t place = 0; place < weight.rank; ++place) count *= weight.shape[place];
    w.*weight.numbers = call.in(weights.*weight.numbers, count);
  }
  w.map_start = call.in(weights.map_start, weights.cells);
  return w;
}

inline edgekit_sea_state on_device(cuda::Call &call, const edgekit_sea_weights &w, const edgekit_sea_state &state) {
  const int64_t kept = kHistory * 2 * w.heads * w.width;
  return {call.change(state.key_values, w.heads * w.features * 2 * w.size),
          call.change(state.keys, w.heads * w.features), call.change(state.values, w.heads * w.size),
          call.change(state.conv1_rows, kept), call.change(state.conv2_rows, kept)};
}

}  // namespace edgekit::sea_estimate
