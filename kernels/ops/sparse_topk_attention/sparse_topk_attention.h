// The kernels of sparse_topk_attention: the choice of a row's cells, then one head at a time; one table for dispatch,
// tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"
#include "cells.h"

namespace edgekit::sparse_topk_attention {

// One head of one row. T is the type of the caches.
template <typename T>
struct Head {
  const T *k, *v;                     // this head's tokens x size
  const float *k_scale, *v_scale;     // with int8
  const float *q, *gates, *v_mean;    // size, 2 and size numbers
  float *out;                         // size
  int64_t size;                       // numbers a token
  int64_t tokens, cells;              // L and K
  const int32_t *chosen;              // the alive cells, ascending, places in all heads' cells; nullptr: every cell
  int64_t count;                      // how many
  int64_t first;                      // the place of this head's first cell
};

// The n cells of a row with the highest log-probabilities, ascending, a place in the scratch. Head h's scores start at
// scores + h * stride. `scratch` has rank_scratch(heads * cells) bytes.
using Rank = const int32_t *(*)(const float *scores, int64_t heads, int64_t cells, int64_t stride, int64_t n,
                                void *scratch);

// `scratch` has head_scratch(size) bytes.
template <typename T>
using Attend = void (*)(const Head<T> &head, void *scratch);

struct Kernels {
  Isa isa;
  Rank rank;
  Attend<float> float32;
  Attend<uint16_t> float16;
  Attend<int8_t> int8;
};

EDGEKIT_KERNEL_TABLE(Kernels);

// What may be asked of the operator, wherever it runs.
edgekit_status check(const edgekit_kv_cache &cache, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget);

// Numbers of the cache that a row which sees so many tokens reads, about.
inline int64_t row_work(const edgekit_kv_cache &cache, int64_t tokens, int64_t cells, int64_t k_budget) {
  const int64_t read = cache.heads * tokens * budget(cache.heads, cells, tokens, k_budget) / (cache.heads * cells);
  return (read > 0 ? read : 1) * cache.size * 2;
}

size_t rank_scratch(int64_t cells);
size_t head_scratch(int64_t size);

}  // namespace edgekit::sparse_topk_attention
