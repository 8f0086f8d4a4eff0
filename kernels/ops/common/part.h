// Vectors of eight where an array ends before they do.
#pragma once

#include <algorithm>
#include <cstdint>

namespace edgekit {

// `count` numbers, fewer than eight, and `other` after them.
template <typename Simd, typename T>
typename Simd::Floats load_part(const T *numbers, int64_t count, T other = 0) {
  T part[8];
  std::fill(part, part + 8, other);
  std::copy(numbers, numbers + count, part);
  return Simd::load(part);
}

// The first `count` of eight, or all if it is more.
template <typename Simd>
void store_part(float *to, typename Simd::Floats x, int64_t count) {
  if (count >= 8) return Simd::store(to, x);
  float lanes[8];
  Simd::store(lanes, x);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

}  // namespace edgekit
