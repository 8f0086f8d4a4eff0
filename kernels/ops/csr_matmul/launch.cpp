// csr_matmul on somebody else's stream.

#include "cuda.h"
#include "cuda/stream_queue.h"

edgekit_launched edgekit_launch_csr_matmul(const edgekit_gpu_stream *gpu, int64_t rows, int64_t columns,
                                           int64_t entries, const int64_t *crow, const int64_t *col, const float *val,
                                           const float *x, int64_t batch, int64_t n, float *y) {
  if (rows == 0 || batch == 0 || n == 0) return EDGEKIT_LAUNCHED;
  return edgekit::cuda::launch("csr_matmul", *gpu, [&](edgekit::cuda::Queue &queue) {
    return edgekit::csr_matmul::enqueue(queue, rows, columns, entries, crow, col, val, x, batch, n, y);
  });
}
