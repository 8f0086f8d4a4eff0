// sparse_topk_attention on a GPU: what its kernels are given, and how a block's memory is laid out.
#pragma once

#include "cuda/types.h"

namespace edgekit::sparse_topk_attention {

struct CudaParams {
  const void *k, *v;                                // heads x capacity x size
  const float *k_scale, *v_scale;                   // heads x capacity, with int8
  const float *q, *scores, *gates, *v_mean;         // as edgekit_sparse_topk_attention has them
  float *out;
  int64_t rows, capacity;
  uint32_t start_pos, k_budget;
  int heads, size, cells;
  int lanes;          // that share a token, a power of two: each has kPerLane of its numbers
  bool whole;         // rows begin at vectors and end with them: loads are vectors
  float *partials;    // of every row's parts, where several blocks share a row
  unsigned *arrived;  // a row's blocks that are done; 0
};

constexpr int kPerLane = 8, kMostSize = 32 * kPerLane;
// Positions that are dealt at once: parts are multiples of it.
constexpr int kDealt = 16;
// What a part of a head leaves: its weighted sum, its largest score, its sum of weights.
constexpr int partial_size(int size) { return size + 2; }
// Parts are consecutive pieces of consecutive heads: part + head is a place of its own for each pair that there is.
constexpr int partial_count(int parts, int heads) { return parts + heads - 1; }

// Threads of a block that has a row to itself, and of one that shares a row with others.
constexpr unsigned kRowThreads = 128, kSplitThreads = 256;
// Blocks of a multiprocessor, by registers: 96 and 128 a thread, with which no kernel spills.
constexpr unsigned kRowBlocks = 5, kSplitBlocks = 2;

// Where things lie in a block's memory, in words of 4 bytes.
struct Layout {
  int ranking;   // heads x cells log-probabilities; then the list of chosen cells
  int chosen;    // a bit a cell
  int before;    // chosen cells before each word of bits
  int first;     // heads + 1: the first place in the list of each head's cells
  int team;      // of BlockTeam (select.cuh)
  int partials;  // where a block has a row to itself
  int words;     // of all
};

constexpr int kTeamWords = 64;

constexpr Layout make_layout(int heads, int cells, int size, int parts) {
  Layout at{};
  at.ranking = 0;
  at.chosen = heads * cells;
  at.before = at.chosen + (heads * cells + 31) / 32;
  at.first = at.before + (heads * cells + 31) / 32;
  at.team = at.first + heads + 1;
  at.partials = at.team + kTeamWords;
  at.words = at.partials + (parts == 0 ? 0 : partial_count(parts, heads) * partial_size(size));
  return at;
}

}  // namespace edgekit::sparse_topk_attention

#ifndef __CUDACC_RTC__
#include "cuda/queue.h"
#include "edgekit/ops.h"

namespace edgekit::sparse_topk_attention {

// Attends in the GPU's order; pointers are the device's. False: these sizes are not taken, or it could not be launched.
bool enqueue(cuda::Queue &queue, const edgekit_kv_cache &cache, const float *q, const float *scores, const float *gates,
             const float *v_mean, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget, float *out);

// Sizes that the kernels take, whatever memory a block has.
bool takes(const edgekit_kv_cache &cache, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget);
// What kernels are told of the cache, q and the sizes; the rest is nothing.
CudaParams make_params(const edgekit_kv_cache &cache, const float *q, int64_t rows, int64_t cells, int64_t start_pos,
                       int64_t k_budget);
// The kernel of the cache's type, of those for float32, float16 and int8.
const char *kernel_for(edgekit_dtype dtype, const char *const (&names)[3]);

}  // namespace edgekit::sparse_topk_attention
#endif
