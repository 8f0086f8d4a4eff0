// A row's cells: how many it chooses, and which tokens each stands for. For CPUs and GPUs, in integers that hold
// 2 * cells * (tokens + 1) and heads * cells * k_budget.
#pragma once

#include "cuda/types.h"

namespace edgekit::sparse_topk_attention {

// The tokens that cell m of K covers in a row that sees L tokens: from the first edge to the second.
template <typename Integer>
Integer edge(Integer cell, Integer cells, Integer tokens) {
  return (2 * cell * tokens + cells) / (2 * cells);  // m * L / K, halves rounded up
}

// How many cells a row with L tokens chooses: H * k * K / L, halves to even, at least 1 and at most all.
template <typename Integer>
Integer budget(Integer heads, Integer cells, Integer tokens, Integer k_budget) {
  const Integer all = heads * cells, total = all * k_budget, whole = total / tokens, rest = total - whole * tokens;
  const Integer n = whole + (rest > tokens - rest || (rest == tokens - rest && whole % 2 == 1) ? 1 : 0);
  return n < 1 ? 1 : n > all ? all : n;
}

}  // namespace edgekit::sparse_topk_attention
