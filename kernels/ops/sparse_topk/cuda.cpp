#include "cuda.h"

#include <algorithm>
#include <cstdint>

namespace edgekit::sparse_topk {
namespace {

// `size` is a number's.
bool rows_are_aligned(const void *x, int64_t n, size_t size) {
  return reinterpret_cast<uintptr_t>(x) % 16 == 0 && static_cast<size_t>(n) * size % 16 == 0;
}

}  // namespace

bool enqueue(cuda::Queue &queue, edgekit_dtype dtype, const void *x, int64_t rows, int64_t n, int64_t k, bool sorted,
             void *values, int64_t *indices) {
  const bool halves = dtype == EDGEKIT_FLOAT16;
  if (rows > INT32_MAX) return false;
  if (rows == 0) return true;
  CudaParams params{x, values, indices, rows, static_cast<unsigned>(n), static_cast<unsigned>(k), kCudaLeastRoom,
                    sorted, rows_are_aligned(x, n, halves ? 2 : 4)};
  cuda::Shape shape;
  if (n <= 32 * kCudaLarge && k <= kCudaMostOfWarp) {
    shape.blocks_x = static_cast<unsigned>((rows + kCudaRows - 1) / kCudaRows);
    shape.threads = kCudaRows * 32;
    shape.shared_bytes = kCudaRows * kCudaMostOfWarp * sizeof(unsigned);
    const char *small = halves ? "edgekit_sparse_topk_float16_small" : "edgekit_sparse_topk_float32_small";
    const char *middle = halves ? "edgekit_sparse_topk_float16_middle" : "edgekit_sparse_topk_float32_middle";
    const char *large = halves ? "edgekit_sparse_topk_float16_large" : "edgekit_sparse_topk_float32_large";
    return queue.launch(n <= 32 * kCudaSmall ? small : n <= 32 * kCudaMiddle ? middle : large, shape, params);
  }
  const auto bytes = [&] { return kCudaHead + params.room * sizeof(int64_t); };
  while (params.room < params.k && bytes() <= queue.limits().shared_bytes) params.room *= 2;
  if (bytes() > queue.limits().shared_bytes) {
    if (sorted) return false;
    params.room = kCudaLeastRoom;
  }
  shape.blocks_x = static_cast<unsigned>(rows);
  shape.threads = kCudaThreads;
  shape.shared_bytes = bytes();
  const char *block = halves ? "edgekit_sparse_topk_float16_block" : "edgekit_sparse_topk_float32_block";
  return queue.launch(block, shape, params);
}

}  // namespace edgekit::sparse_topk
