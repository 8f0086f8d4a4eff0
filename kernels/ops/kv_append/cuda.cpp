#include "cuda.h"

#include <algorithm>
#include <cstdint>

namespace edgekit::kv_append {

CudaParams make_params(const edgekit_kv_cache &cache, edgekit_dtype dtype, const void *k, const void *v, int64_t rows,
                       int64_t start_pos) {
  bool wide = cache.size % 4 == 0;
  for (const void *numbers : {k, v, static_cast<const void *>(cache.k), static_cast<const void *>(cache.v)})
    wide = wide && reinterpret_cast<uintptr_t>(numbers) % 16 == 0;
  unsigned lanes = 1;
  while (lanes < 32 && lanes < cache.size / (wide ? 4 : 1)) lanes *= 2;
  return {k, v, cache.k, cache.v, cache.k_scale, cache.v_scale, cache.heads, rows, cache.size,
          cache.capacity, start_pos, dtype, cache.dtype, lanes, wide};
}

bool enqueue(cuda::Queue &queue, const edgekit_kv_cache &cache, edgekit_dtype dtype, const void *k, const void *v,
             int64_t rows, int64_t start_pos) {
  constexpr int64_t kMostBlocks = 65535;
  const CudaParams params = make_params(cache, dtype, k, v, rows, start_pos);
  const int64_t together = kCudaThreads / params.lanes;
  cuda::Shape shape;
  shape.blocks_x = static_cast<unsigned>(std::min((2 * cache.heads * rows + together - 1) / together, kMostBlocks));
  shape.threads = kCudaThreads;
  return queue.launch("edgekit_kv_append_rows", shape, params);
}

}  // namespace edgekit::kv_append
