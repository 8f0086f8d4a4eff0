// kv_append on somebody else's stream.

#include "../common/kv_cache.h"
#include "cuda.h"
#include "cuda/stream_queue.h"

edgekit_launched edgekit_launch_kv_append(const edgekit_gpu_stream *gpu, const edgekit_kv_cache *cache,
                                          edgekit_dtype dtype, const void *k, const void *v, int64_t rows,
                                          int64_t start_pos) {
  if (edgekit::check_kv_cache("kv_append", *cache, rows, start_pos) != EDGEKIT_OK) return EDGEKIT_LAUNCH_REFUSED;
  return edgekit::cuda::launch("kv_append", *gpu, [&](edgekit::cuda::Queue &queue) {
    return edgekit::kv_append::enqueue(queue, *cache, dtype, k, v, rows, start_pos);
  });
}
