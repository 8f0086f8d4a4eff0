// sparse_topk on vectors: the selection of common/select.h, and putting the chosen in order.
#pragma once

#include <algorithm>

#include "../common/select.h"
#include "sparse_topk.h"

namespace edgekit::sparse_topk {

// Puts k chosen, which ascend by place, in descending order of keys, ties in the order they have. Places into `ordered`.
//
// Blocks are ordered by counting for each key how many of its block go before it; then they are merged.
template <typename Simd>
void order(int32_t *keys, int32_t *places, int64_t k, int32_t *ordered_keys, int32_t *ordered) {
  constexpr int64_t kBlock = 128, kLanes = Simd::kLanes;
  for (int64_t start = 0; start < k; start += kBlock) {
    const int64_t end = std::min(start + kBlock, k);
    alignas(64) int32_t block[kBlock];
    const int64_t size = end - start, padded = (size + kLanes - 1) / kLanes * kLanes;
    std::copy(keys + start, keys + end, block);
    std::fill(block + size, block + padded, INT32_MAX);  // never behind anything
    // `after[i]` counts the keys that i goes behind: larger ones, and equal ones before it.
    alignas(64) int32_t after[kBlock];
    for (int64_t vector = 0; vector < padded; vector += kLanes) {
      const auto mine = Simd::load_keys(block + vector);
      auto before = Simd::set(0);
      int64_t other = 0;
      // Equal ones that lie before this vector count; inside it, lane by lane below; behind it they do not.
      for (; other < std::min(vector, size); ++other)
        before = Simd::count_greater_equal(before, Simd::set(block[other]), mine);
      for (; other < std::min(vector + kLanes, size); ++other) {
        const auto one = Simd::set(block[other]);
        before = Simd::count_ordered(before, one, mine, static_cast<int>(other - vector));
      }
      for (; other < size; ++other) before = Simd::count_greater(before, Simd::set(block[other]), mine);
      Simd::store_keys(after + vector, before);
    }
    for (int64_t place = 0; place < size; ++place) {
      ordered_keys[start + after[place]] = block[place];
      ordered[start + after[place]] = places[start + place];
    }
  }
  int32_t *from_keys = ordered_keys, *from = ordered, *to_keys = keys, *to = places;
  for (int64_t width = kBlock; width < k; width *= 2) {
    for (int64_t start = 0; start < k; start += 2 * width) {
      int64_t left = start, right = std::min(start + width, k), place = start;
      const int64_t middle = right, end = std::min(start + 2 * width, k);
      for (; place < end; ++place) {
        const bool take_left = right == end || (left < middle && from_keys[left] >= from_keys[right]);
        const int64_t taken = take_left ? left++ : right++;
        to_keys[place] = from_keys[taken];
        to[place] = from[taken];
      }
    }
    std::swap(from_keys, to_keys);
    std::swap(from, to);
  }
  if (from != ordered) std::copy(from, from + k, ordered);
}

template <typename Simd, typename T>
void row(const T *x, int64_t n, int64_t k, bool sorted, T *values, int64_t *indices, void *scratch) {
  Arena arena(scratch);
  Selection<Simd> selection;
  selection.select(x, n, k, arena);
  int32_t *places = selection.chosen;
  if (sorted) {
    // The candidates are done with: their room holds the order.
    int32_t *ordered_keys = arena.take<int32_t>(k + kOverhang), *ordered = arena.take<int32_t>(k + kOverhang);
    order<Simd>(selection.chosen_keys, selection.chosen, k, ordered_keys, ordered);
    places = ordered;
  }
  for (int64_t place = 0; place < k; ++place) {
    values[place] = x[places[place]];
    indices[place] = places[place];
  }
}

}  // namespace edgekit::sparse_topk
