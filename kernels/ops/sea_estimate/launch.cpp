// sea_estimate on somebody else's stream.

#include "cuda.h"
#include "cuda/stream_queue.h"
#include "sea_estimate.h"

edgekit_launched edgekit_launch_sea_estimate(const edgekit_gpu_stream *gpu, const edgekit_sea_weights *weights,
                                             const edgekit_sea_state *state, const float *q, const float *k,
                                             const float *v, int64_t rows, int64_t start_pos, float *scores,
                                             float *gates, float *v_mean) {
  using namespace edgekit::sea_estimate;
  if (check_sizes(*weights, rows, start_pos) != EDGEKIT_OK) return EDGEKIT_LAUNCH_REFUSED;
  return edgekit::cuda::launch("sea_estimate", *gpu, [&](edgekit::cuda::Queue &queue) {
    return enqueue(queue, *weights, *state, q, k, v, rows, start_pos, scores, gates, v_mean);
  });
}
