#include "cuda.h"

#include <algorithm>
#include <cstdint>

namespace edgekit::csr_matmul {

bool enqueue(cuda::Queue &queue, int64_t rows, int64_t columns, int64_t, const int64_t *crow, const int64_t *col,
             const float *val, const float *x, int64_t batch, int64_t n, float *y) {
  if (rows == 0 || batch == 0 || n == 0) return true;
  constexpr int64_t kMost = UINT32_MAX - kCudaThreads, kMostMatrices = 65535;
  if (columns > kMost || n > kMost || rows > kMost / n) return false;
  const bool wide = n % 4 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0;
  const int64_t steps = wide ? n / 4 : n;
  cuda::Shape shape;
  shape.blocks_x = static_cast<unsigned>((rows * steps + kCudaThreads - 1) / kCudaThreads);
  shape.blocks_y = static_cast<unsigned>(std::min(batch, kMostMatrices));
  shape.threads = kCudaThreads;
  const CudaParams params{crow, col, val, x, y, batch, static_cast<unsigned>(rows), static_cast<unsigned>(columns),
                          static_cast<unsigned>(steps)};
  if (n == 1) {
    shape.shared_bytes = kCudaThreads / 32 * kCudaProducts * sizeof(float);
    return queue.launch("edgekit_csr_matmul_one_column", shape, params);
  }
  return queue.launch(wide ? "edgekit_csr_matmul_four_columns" : "edgekit_csr_matmul_columns", shape, params);
}

}  // namespace edgekit::csr_matmul
