#include "gray.h"

#include <algorithm>

namespace {

constexpr uint64_t kMostPixels = uint64_t{1} << 26;

constexpr struct {
  const char *name;
  Encoding encoding;
  size_t pixel_bytes;
} kEncodings[] = {{"mono8", Encoding::mono8, 1},
                  {"mono16", Encoding::mono16, 2},
                  {"bgr8", Encoding::bgr8, 3},
                  {"rgb8", Encoding::rgb8, 3}};

size_t pixel_bytes(Encoding encoding) {
  for (const auto &known : kEncodings)
    if (known.encoding == encoding) return known.pixel_bytes;
  return 0;
}

// The weights 0.299, 0.587 and 0.114 in units of 1 / 65536.
uint32_t luma(uint32_t red, uint32_t green, uint32_t blue) {
  return (red * 19595u + green * 38470u + blue * 7471u + 0x8000u) >> 16;
}

void convert_row(const uint8_t *row, const PixelView &pixels, float *to) {
  for (uint32_t column = 0; column < pixels.width; ++column) {
    switch (pixels.encoding) {
      case Encoding::mono8: to[column] = static_cast<float>(row[column]) / 255.0f; break;
      case Encoding::mono16: {
        const uint32_t first = row[2 * column], second = row[2 * column + 1];
        to[column] = static_cast<float>(pixels.big_endian ? first << 8 | second : second << 8 | first) / 65535.0f;
        break;
      }
      case Encoding::bgr8:
        to[column] = static_cast<float>(luma(row[3 * column + 2], row[3 * column + 1], row[3 * column])) / 255.0f;
        break;
      case Encoding::rgb8:
        to[column] = static_cast<float>(luma(row[3 * column], row[3 * column + 1], row[3 * column + 2])) / 255.0f;
        break;
    }
  }
}

// Why a view cannot be read; "" if it can.
std::string problem_of(const PixelView &pixels) {
  const std::string size = std::to_string(pixels.width) + "x" + std::to_string(pixels.height);
  const uint64_t shortest = edgekit::kShortestSide;
  if (std::min(pixels.height, pixels.width) < shortest)
    return "an image of " + size + " pixels is too small: each side needs " + std::to_string(shortest) + ".";
  if (uint64_t{pixels.height} * pixels.width > kMostPixels)
    return "an image of " + size + " pixels is too large: crop or shrink it first.";
  const uint64_t row_bytes = uint64_t{pixels.width} * pixel_bytes(pixels.encoding);
  if (row_bytes == 0) return "the image has an unknown encoding.";
  if (pixels.step < row_bytes)
    return "the image's rows have " + std::to_string(pixels.step) + " bytes, " + std::to_string(row_bytes) +
           " are needed: check what sends it.";
  // The last row may end with its last pixel. Divided, so that nothing overflows.
  if (pixels.data == nullptr || pixels.bytes < row_bytes ||
      (pixels.bytes - row_bytes) / pixels.step < pixels.height - 1)
    return "the image has " + std::to_string(pixels.bytes) + " bytes, too few for " + std::to_string(pixels.height) +
           " rows of " + std::to_string(pixels.step) + ": check what sends it.";
  return "";
}

}  // namespace

bool find_encoding(const std::string &name, Encoding *encoding) {
  for (const auto &known : kEncodings) {
    if (name != known.name) continue;
    *encoding = known.encoding;
    return true;
  }
  return false;
}

bool to_gray(const PixelView &pixels, GrayImage *gray, std::string *why) {
  *why = problem_of(pixels);
  if (!why->empty()) return false;
  gray->size = {static_cast<int>(pixels.height), static_cast<int>(pixels.width)};
  gray->brightness.resize(size_t{pixels.height} * pixels.width);
  for (uint32_t row = 0; row < pixels.height; ++row)
    convert_row(pixels.data + row * pixels.step, pixels, gray->brightness.data() + size_t{row} * pixels.width);
  return true;
}
