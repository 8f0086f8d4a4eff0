// sparse_topk on somebody else's stream.

#include "cuda.h"
#include "cuda/stream_queue.h"
#include "sparse_topk.h"

edgekit_launched edgekit_launch_sparse_topk(const edgekit_gpu_stream *gpu, edgekit_dtype dtype, const void *x,
                                            int64_t rows, int64_t n, int64_t k, bool sorted, void *values,
                                            int64_t *indices) {
  using namespace edgekit::sparse_topk;
  if (check(dtype, rows, n, k) != EDGEKIT_OK) return EDGEKIT_LAUNCH_REFUSED;
  if (rows == 0) return EDGEKIT_LAUNCHED;
  return edgekit::cuda::launch("sparse_topk", *gpu, [&](edgekit::cuda::Queue &queue) {
    return enqueue(queue, dtype, x, rows, n, k, sorted, values, indices);
  });
}
