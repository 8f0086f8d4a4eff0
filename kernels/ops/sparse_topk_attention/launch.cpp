// sparse_topk_attention on somebody else's stream.

#include "cuda.h"
#include "cuda/stream_queue.h"
#include "sparse_topk_attention.h"

edgekit_launched edgekit_launch_sparse_topk_attention(const edgekit_gpu_stream *gpu, const edgekit_kv_cache *cache,
                                                      const float *q, const float *scores, const float *gates,
                                                      const float *v_mean, int64_t rows, int64_t cells,
                                                      int64_t start_pos, int64_t k_budget, float *out) {
  using namespace edgekit::sparse_topk_attention;
  if (check(*cache, rows, cells, start_pos, k_budget) != EDGEKIT_OK) return EDGEKIT_LAUNCH_REFUSED;
  return edgekit::cuda::launch("sparse_topk_attention", *gpu, [&](edgekit::cuda::Queue &queue) {
    return enqueue(queue, *cache, q, scores, gates, v_mean, rows, cells, start_pos, k_budget, out);
  });
}
