// Ranking by a warp: candidates, 128 at most, by their numbers, those that are equal by their places.
#pragma once

#include "cuda/device.cuh"
#include "cuda/select.cuh"
#include "cuda/sort.cuh"
#include "cuda.h"

namespace edgekit::sparse_topk {

using namespace edgekit::cuda;

inline float number(float x) { return x; }
inline float number(uint16_t x) { return half_to_float(x); }

// 16 bytes of a row.
inline void unpack(const uint4 &wide, float (&to)[4]) {
  to[0] = bits_float(wide.x);
  to[1] = bits_float(wide.y);
  to[2] = bits_float(wide.z);
  to[3] = bits_float(wide.w);
}
inline void unpack(const uint4 &wide, float (&to)[8]) {
  const unsigned words[4] = {wide.x, wide.y, wide.z, wide.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = half_to_float(static_cast<uint16_t>(words[i]));
    to[2 * i + 1] = half_to_float(static_cast<uint16_t>(words[i] >> 16));
  }
}

// What is sorted: a number's key, then its place, the lower first. No number's is kNoItem.
constexpr int64_t kNoItem = -0x7fffffffffffffff - 1;
inline int64_t item_of(int key, unsigned place) {
  return static_cast<int64_t>(static_cast<uint64_t>(static_cast<unsigned>(key)) << 32 | ~place);
}

// Items of 32 bits are sorted in a third of the instructions. A half's, where places have 16 bits:
constexpr unsigned kPlaceBits = 16, kPlaceMask = (1u << kPlaceBits) - 1;
inline int item_of(uint16_t half, unsigned place) {
  const int magnitude = half & 0x7fff, key = magnitude > 0x7c00 ? -0x8000 : half >> 15 ? -magnitude : magnitude;
  return key * (1 << kPlaceBits) | static_cast<int>(kPlaceMask - place);
}

// A float's: what its key has above the lowest, and the candidate's number, where all keys are near each other.
constexpr unsigned kOrderBits = 7, kOrderMask = (1u << kOrderBits) - 1;
static_assert(kCudaMostOfWarp == kOrderMask + 1);

// The lanes' kEach of `count` candidates each; `load` gives the item of one.
template <typename Item, int kEach, typename Load>
__forceinline__ void load_items(unsigned count, Item none, Item (&items)[kEach], Load load) {
  const unsigned first = threadIdx.x % kWarp * kEach;
#pragma unroll
  for (int i = 0; i < kEach; ++i) items[i] = first + i < count ? load(first + i) : none;
}

// Sorted items' places back to where they came from.
template <typename Item, int kEach, typename Place>
__forceinline__ void store_places(const Item (&items)[kEach], unsigned *places, Place place) {
  const unsigned first = threadIdx.x % kWarp * kEach;
  sync_warp();
#pragma unroll
  for (int i = 0; i < kEach; ++i) places[first + i] = place(items[i]);
  sync_warp();
}

// Halves: no two items are equal. False, and nothing done, where places have more bits.
template <int kEach>
__forceinline__ bool rank(const uint16_t *x, unsigned n, unsigned *places, unsigned count, const Bracket &) {
  if (n > kPlaceMask + 1) return false;
  int items[kEach];
  load_items(count, kNanKey, items, [&](unsigned at) { return item_of(__ldg(x + places[at]), places[at]); });
  sort_in_warp(items);
  store_places(items, places, [](int item) { return kPlaceMask - (static_cast<unsigned>(item) & kPlaceMask); });
  return true;
}

// Floats by their keys above the lowest, which `bracket` has. False, and nothing done, where these are too far apart or
// some are equal.
template <int kEach>
__forceinline__ bool rank(const float *x, unsigned, unsigned *places, unsigned count, const Bracket &bracket) {
  if (static_cast<unsigned>(bracket.high) - static_cast<unsigned>(bracket.low) >= 1u << (32 - kOrderBits)) return false;
  const unsigned first = threadIdx.x % kWarp * kEach;
  unsigned items[kEach];
  load_items(count, 0u, items, [&](unsigned at) {
    return static_cast<unsigned>(key_of(__ldg(x + places[at])) - bracket.low) << kOrderBits | (kOrderMask - at);
  });
  sort_in_warp(items);
  const unsigned next = shuffle_down(items[0], 1);
  bool equal = false;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const unsigned other = i + 1 < kEach ? items[i + 1 < kEach ? i + 1 : 0] : next;
    equal = equal || (first + i + 1 < count && items[i] >> kOrderBits == other >> kOrderBits);
  }
  if (any(equal)) return false;
#pragma unroll
  for (unsigned &item : items) item = places[kOrderMask - (item & kOrderMask)];
  store_places(items, places, [](unsigned place) { return place; });
  return true;
}

// Whatever they are.
template <typename T>
__forceinline__ void rank_by_items(const T *x, unsigned *places, unsigned count) {
  int64_t items[kCudaMostOfWarp / kWarp];
  load_items(count, kNoItem, items,
             [&](unsigned at) { return item_of(key_of(number(__ldg(x + places[at]))), places[at]); });
  sort_in_warp(items);
  store_places(items, places, [](int64_t item) { return ~static_cast<unsigned>(item); });
}

// Ascending.
__forceinline__ void sort_places(unsigned *places, unsigned count) {
  unsigned items[kCudaMostOfWarp / kWarp];
  load_items(count, 0u, items, [&](unsigned at) { return ~places[at]; });
  sort_in_warp(items);
  store_places(items, places, [](unsigned item) { return ~item; });
}

// The k items of a row, in their order, to where they go; `first` and `step` share them among threads.
template <typename T, typename Place>
__forceinline__ void put(const CudaParams &p, const T *x, int64_t row, unsigned first, unsigned step, Place place_of) {
  T *values = static_cast<T *>(p.values) + row * p.k;
  int64_t *indices = p.indices + row * p.k;
  for (unsigned at = first; at < p.k; at += step) {
    const unsigned place = place_of(at);
    values[at] = __ldg(x + place);  // not from its key, which has no sign of zero and no kind of NaN
    indices[at] = place;
  }
}

}  // namespace edgekit::sparse_topk
