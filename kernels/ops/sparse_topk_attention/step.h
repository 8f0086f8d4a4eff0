// One token through SEA's attention on a GPU, in one cooperative launch: the estimator's step, the token's row into the
// cache, and attention to the tokens that are chosen.
#pragma once

#include "../kv_append/cuda.h"
#include "../sea_estimate/cuda.h"
#include "cuda.h"

namespace edgekit::sparse_topk_attention {

struct StepParams {
  sea_estimate::CudaStep estimate;
  kv_append::CudaParams append;
  CudaParams attention;  // of scores, gates and v_mean that the estimate writes
  cuda::GridBarrier *barrier;
};

constexpr unsigned kStepThreads = 256;
// By registers: 128 a thread. One block of a multiprocessor is enough for a large GPU, a small one is filled by two.
constexpr unsigned kStepBlocks = 2;

}  // namespace edgekit::sparse_topk_attention

#ifndef __CUDACC_RTC__
namespace edgekit::sparse_topk_attention {

// In the GPU's order; pointers are the device's: q, k, v and out are heads x 1 x size, state and cache hold the tokens
// before start_pos. False: these sizes are not taken, the GPU has no cooperative launches, or it could
// not be launched.
bool enqueue_step(cuda::Queue &queue, const edgekit_sea_weights &weights, const edgekit_sea_state &state,
                  const edgekit_kv_cache &cache, const float *q, const float *k, const float *v, int64_t start_pos,
                  int64_t k_budget, float *out);

}  // namespace edgekit::sparse_topk_attention
#endif
