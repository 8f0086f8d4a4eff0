// The kernels of sparse_topk_attention: the choice of a row's cells, then one head at a time; one table for dispatch,
// tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::sparse_topk_attention {

// The tokens that cell m of K covers in a row that sees L tokens: from the first edge to the second.
inline int64_t edge(int64_t cell, int64_t cells, int64_t tokens) {
  return (2 * cell * tokens + cells) / (2 * cells);  // m * L / K, halves rounded up
}

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

size_t rank_scratch(int64_t cells);
size_t head_scratch(int64_t size);

}  // namespace edgekit::sparse_topk_attention
