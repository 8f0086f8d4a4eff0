#include <algorithm>
#include <cstring>
#include <vector>

#include "core/failure.h"
#include "edgekit/images.h"

namespace edgekit {
namespace {

void check(ImageSize from, ImageSize to) {
  if (std::min({from.height, from.width, to.height, to.width}) < 1)
    throw UsageFailure(format("an image of %dx%d pixels cannot be resized to %dx%d: give sizes of at least 1x1.",
                              from.width, from.height, to.width, to.height));
}

// Between which two pixels a position lies, and the share of the second.
struct Neighbours {
  size_t before, after;
  float share;
};

std::vector<Neighbours> neighbours(int from, int to) {
  std::vector<Neighbours> found(static_cast<size_t>(to));
  const double step = static_cast<double>(from) / to;
  for (size_t index = 0; index < found.size(); ++index) {
    const double position = std::clamp((static_cast<double>(index) + 0.5) * step - 0.5, 0.0, from - 1.0);
    const size_t before = static_cast<size_t>(position);
    found[index] = {before, std::min(before + 1, static_cast<size_t>(from) - 1),
                    static_cast<float>(position - static_cast<double>(before))};
  }
  return found;
}

template <typename Element>
void nearest(const void *from, ImageSize size, void *to, ImageSize to_size) {
  std::vector<size_t> columns(static_cast<size_t>(to_size.width));
  for (size_t column = 0; column < columns.size(); ++column)
    columns[column] = column * static_cast<size_t>(size.width) / columns.size();
  const size_t height = static_cast<size_t>(size.height), to_height = static_cast<size_t>(to_size.height);
  const auto *const source = static_cast<const Element *>(from);
  auto *target = static_cast<Element *>(to);
  for (size_t row = 0; row < to_height; ++row) {
    const Element *const chosen = source + row * height / to_height * static_cast<size_t>(size.width);
    for (const size_t column : columns) *target++ = chosen[column];
  }
}

}  // namespace

bool resize_linear(const float *image, ImageSize size, float *to, ImageSize to_size) noexcept {
  return guarded([&] {
    check(size, to_size);
    const size_t width = static_cast<size_t>(size.width);
    const std::vector<Neighbours> down = neighbours(size.height, to_size.height);
    const std::vector<Neighbours> across = neighbours(size.width, to_size.width);
    std::vector<float> row(width);
    for (const Neighbours &rows : down) {
      const float *above = image + rows.before * width, *below = image + rows.after * width;
      for (size_t column = 0; column < width; ++column)
        row[column] = above[column] + (below[column] - above[column]) * rows.share;
      for (const Neighbours &columns : across)
        *to++ = row[columns.before] + (row[columns.after] - row[columns.before]) * columns.share;
    }
    return true;
  });
}

bool resize_nearest(const void *values, ImageSize size, size_t element_bytes, void *to, ImageSize to_size) noexcept {
  return guarded([&] {
    check(size, to_size);
    if (element_bytes == 1) {
      nearest<uint8_t>(values, size, to, to_size);
    } else if (element_bytes == 2) {
      nearest<uint16_t>(values, size, to, to_size);
    } else if (element_bytes == 4) {
      nearest<uint32_t>(values, size, to, to_size);
    } else if (element_bytes == 8) {
      nearest<uint64_t>(values, size, to, to_size);
    } else {
      throw UsageFailure(format("elements of %zu bytes cannot be resized: 1, 2, 4 and 8 can.", element_bytes));
    }
    return true;
  });
}

}  // namespace edgekit
