// Pixels as cameras and message buses give them, to the brightness that a session takes.
#pragma once

#include <edgekit/images.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Brightness, row after row, full scale 1.
struct GrayImage {
  edgekit::ImageSize size{};
  std::vector<float> brightness;
};

enum class Encoding { mono8, mono16, bgr8, rgb8 };

// The encoding of a name as ROS writes it, such as "bgr8"; false for others.
bool find_encoding(const std::string &name, Encoding *encoding);

// An image in somebody else's memory.
struct PixelView {
  const uint8_t *data;
  size_t bytes;  // of all rows together
  uint32_t height, width;
  size_t step;  // bytes from a row to the next
  Encoding encoding;
  bool big_endian;  // of mono16
};

// Colours become the luma of ITU-R BT.601 in 8 bits, as in edgekit::read_gray. Nothing that a view says is believed:
// one that would be read beyond its bytes, has a side under 16 or more than 64 million pixels is refused with a
// sentence in `why`, and `gray` is left as it was.
bool to_gray(const PixelView &pixels, GrayImage *gray, std::string *why);
