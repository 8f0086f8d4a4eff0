// One token through SEA's attention on somebody else's stream.

#include "../sea_estimate/sea_estimate.h"
#include "cuda/stream_queue.h"
#include "sparse_topk_attention.h"
#include "step.h"

edgekit_launched edgekit_launch_sea_step(const edgekit_gpu_stream *gpu, const edgekit_sea_weights *weights,
                                         const edgekit_sea_state *state, const edgekit_kv_cache *cache, const float *q,
                                         const float *k, const float *v, int64_t start_pos, int64_t k_budget,
                                         float *out) {
  using namespace edgekit::sparse_topk_attention;
  if (edgekit::sea_estimate::check_sizes(*weights, 1, start_pos) != EDGEKIT_OK ||
      check(*cache, 1, weights->cells, start_pos, k_budget) != EDGEKIT_OK)
    return EDGEKIT_LAUNCH_REFUSED;
  return edgekit::cuda::launch("sea_step", *gpu, [&](edgekit::cuda::Queue &queue) {
    return enqueue_step(queue, *weights, *state, *cache, q, k, v, start_pos, k_budget, out);
  });
}
