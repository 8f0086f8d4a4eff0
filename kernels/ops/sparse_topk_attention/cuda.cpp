#include "cuda.h"

#include <algorithm>

namespace edgekit::sparse_topk_attention {
namespace {

// Rows that several blocks share: a GPU's multiprocessors are not busy with so few.
constexpr int64_t kFewRows = 32;

constexpr const char *kRowKernels[] = {"edgekit_sparse_topk_attention_float32", "edgekit_sparse_topk_attention_float16",
                                       "edgekit_sparse_topk_attention_int8"};
constexpr const char *kSplitKernels[] = {"edgekit_sparse_topk_attention_split_float32",
                                         "edgekit_sparse_topk_attention_split_float16",
                                         "edgekit_sparse_topk_attention_split_int8"};

bool in_vectors(const void *memory) { return reinterpret_cast<uintptr_t>(memory) % 16 == 0; }

}  // namespace

// A row's tokens for all heads, its cells and what is counted of them stay below 2^31.
bool takes(const edgekit_kv_cache &cache, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget) {
  const int64_t tokens = start_pos + rows, most = INT32_MAX - 1024;
  return cache.size <= kMostSize && tokens + cells <= most / cache.heads && tokens + 1 <= most / (2 * cells) &&
         std::min(k_budget, tokens) <= most / (cache.heads * cells);
}

CudaParams make_params(const edgekit_kv_cache &cache, const float *q, int64_t rows, int64_t cells, int64_t start_pos,
                       int64_t k_budget) {
  CudaParams params{};
  params.q = q;
  params.k = cache.k;
  params.v = cache.v;
  params.k_scale = cache.k_scale;
  params.v_scale = cache.v_scale;
  params.rows = rows;
  params.capacity = cache.capacity;
  params.start_pos = static_cast<uint32_t>(start_pos);
  params.k_budget = static_cast<uint32_t>(std::min(k_budget, start_pos + rows));  // which is everything
  params.heads = static_cast<int>(cache.heads);
  params.size = static_cast<int>(cache.size);
  params.cells = static_cast<int>(cells);
  for (params.lanes = 1; params.lanes * kPerLane < params.size;) params.lanes *= 2;
  params.whole = cache.size % kPerLane == 0 && in_vectors(cache.k) && in_vectors(cache.v) && in_vectors(q);
  return params;
}

const char *kernel_for(edgekit_dtype dtype, const char *const (&names)[3]) {
  return names[dtype == EDGEKIT_FLOAT32 ? 0 : dtype == EDGEKIT_FLOAT16 ? 1 : 2];
}

bool enqueue(cuda::Queue &queue, const edgekit_kv_cache &cache, const float *q, const float *scores, const float *gates,
             const float *v_mean, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget, float *out) {
  if (!takes(cache, rows, cells, start_pos, k_budget)) return false;
  CudaParams params = make_params(cache, q, rows, cells, start_pos, k_budget);
  params.scores = scores;
  params.gates = gates;
  params.v_mean = v_mean;
  params.out = out;

  const auto multiprocessors = std::max(queue.limits().multiprocessors, 1);
  const unsigned sharing = rows <= kFewRows ? static_cast<unsigned>((multiprocessors + rows - 1) / rows) : 1;
  cuda::Shape shape;
  if (sharing == 1) {
    shape.threads = kRowThreads;
    shape.blocks_x = static_cast<unsigned>(rows);
  } else {
    shape.threads = kSplitThreads;
    shape.blocks_x = sharing;
    shape.blocks_y = static_cast<unsigned>(rows);
  }
  const int warps = static_cast<int>(shape.threads / 32);
  const Layout at = make_layout(params.heads, params.cells, params.size, sharing == 1 ? warps : 0);
  shape.shared_bytes = static_cast<size_t>(at.words) * 4;
  if (shape.shared_bytes > queue.limits().shared_bytes) return false;
  if (sharing == 1) return queue.launch(kernel_for(cache.dtype, kRowKernels), shape, params);

  const auto partials = static_cast<size_t>(partial_count(warps * static_cast<int>(sharing), params.heads)) *
                        static_cast<size_t>(partial_size(params.size));
  const size_t counters = static_cast<size_t>(rows) * sizeof(unsigned);
  params.partials = static_cast<float *>(queue.scratch(static_cast<size_t>(rows) * partials * sizeof(float)));
  params.arrived = static_cast<unsigned *>(queue.scratch(counters));
  return params.partials != nullptr && params.arrived != nullptr && queue.clear(params.arrived, counters) &&
         queue.launch(kernel_for(cache.dtype, kSplitKernels), shape, params);
}

}  // namespace edgekit::sparse_topk_attention
