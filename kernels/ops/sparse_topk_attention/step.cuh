// One token through SEA's attention: see step.h. The blocks meet three times in the estimator's step and once before
// they choose; the last that is done with its part of the tokens adds up.
#pragma once

#include "../kv_append/append.cuh"
#include "../sea_estimate/step.cuh"
#include "attend.cuh"
#include "step.h"

namespace edgekit::sparse_topk_attention {

template <typename T>
void attend_step(const StepParams &p) {
  // The last block first: the first have the heads' codes to compute. The rows are seen after the blocks have met.
  const unsigned block = gridDim.x - 1 - blockIdx.x;
  p.append.wide ? kv_append::append<float, 4>(p.append, block) : kv_append::append<float, 1>(p.append, block);
  sea_estimate::estimate_step(p.estimate, &block_memory<float>(), p.barrier);
  sync_grid(p.barrier);
  attend_split_row<T, kStepThreads>(p.attention, 0);
}

}  // namespace edgekit::sparse_topk_attention
