// Bitonic sorts, largest first: by a warp in its registers, by a block in its memory.
#pragma once

#include "device.cuh"

namespace edgekit::cuda {

// A step of a sort: the larger of two comes first, or the smaller.
template <typename Item>
__forceinline__ void order(Item &first, Item &second, bool larger_first) {
  const Item a = first, b = second;
  first = larger_first ? max(a, b) : min(a, b);
  second = larger_first ? min(a, b) : max(a, b);
}

// A warp's items, those of lane l being the kEach from l * kEach on; kEach is a power of two. 128 items of 32 bits take
// 300 instructions, of 64 bits 1000 in a loop.
template <typename Item, int kEach>
__forceinline__ void sort_in_warp(Item (&items)[kEach]) {
  [[maybe_unused]] constexpr int kUnrolled = sizeof(Item) == 4 ? 8 : 1;
  const unsigned first = threadIdx.x % kWarp * kEach;
#pragma unroll kUnrolled
  for (unsigned size = 2; size <= kWarp * kEach; size *= 2) {
#pragma unroll kUnrolled
    for (unsigned distance = size / 2; distance >= kEach; distance /= 2) {
      const bool larger = ((first & size) == 0) == ((first & distance) == 0);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const Item other = shuffle_xor(items[i], distance / kEach);
        items[i] = larger ? max(items[i], other) : min(items[i], other);
      }
    }
#pragma unroll
    for (unsigned distance = kEach / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (unsigned i = 0; i < kEach; ++i)
        if ((i & distance) == 0 && distance < size) order(items[i], items[i + distance], ((first + i) & size) == 0);
    }
  }
}

// `count` items in the block's memory, a power of two; all threads of the block come here, and see the result.
inline void sort_in_block(int64_t *items, unsigned count) {
  for (unsigned size = 2; size <= count; size *= 2) {
    for (unsigned distance = size / 2; distance > 0; distance /= 2) {
      sync_block();
      for (unsigned pair = threadIdx.x; pair < count / 2; pair += blockDim.x) {
        const unsigned low = 2 * pair - (pair & (distance - 1)), high = low + distance;
        const int64_t a = items[low], b = items[high];
        if ((a > b) != ((low & size) == 0)) {
          items[low] = b;
          items[high] = a;
        }
      }
    }
  }
  sync_block();
}

}  // namespace edgekit::cuda
