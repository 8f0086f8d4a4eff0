// Rows of an image with zeros around it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace edgekit::conv2d {

// `count` floats from column `start` of row `y` of an image; zeros outside of it.
template <typename Simd>
void copy_row(const float *image, int64_t h, int64_t w, int64_t y, int64_t start, int64_t count, float *to) {
  const bool outside = y < 0 || y >= h;
  const int64_t begin = outside ? count : std::min(std::max<int64_t>(-start, 0), count);
  const int64_t end = outside ? count : std::max(begin, std::min(w - start, count));
  for (int64_t i = 0; i < begin; ++i) to[i] = 0.0f;
  const size_t size = static_cast<size_t>(end - begin) * sizeof(float);
  if (size > 0) std::memcpy(to + begin, image + y * w + start + begin, size);
  for (int64_t i = end; i < count; ++i) to[i] = 0.0f;
}

}  // namespace edgekit::conv2d
