#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/failure.h"
#include "edgekit/segment.h"

namespace edgekit {
namespace {

// Smaller images are enlarged to about this width or height, so that outlines do not hide what they show.
constexpr int kSide = 768;
// Objects that get a box.
constexpr int kBoxes = 50;

struct Colour {
  uint8_t red, green, blue;
};
constexpr Colour kFound{255, 64, 64}, kBox{255, 208, 0}, kLabelled{0, 208, 96};

class Picture {
 public:
  Picture(uint8_t *pixels, ImageSize size) : pixels_(pixels), size_(size) {}

  // Outside of the picture nothing is drawn.
  void draw(int row, int column, Colour colour) {
    if (row < 0 || column < 0 || row >= size_.height || column >= size_.width) return;
    uint8_t *pixel = pixels_ + (static_cast<ptrdiff_t>(row) * size_.width + column) * 3;
    pixel[0] = colour.red;
    pixel[1] = colour.green;
    pixel[2] = colour.blue;
  }

  void draw_box(int top, int left, int bottom, int right, Colour colour) {
    for (int column = left; column <= right; ++column) {
      draw(top, column, colour);
      draw(bottom, column, colour);
    }
    for (int row = top; row <= bottom; ++row) {
      draw(row, left, colour);
      draw(row, right, colour);
    }
  }

 private:
  uint8_t *pixels_;
  ImageSize size_;
};

int scale_of(ImageSize size) { return std::max(1, kSide / std::max({1, size.height, size.width})); }

void draw_image(const float *image, ImageSize size, int scale, Picture &picture) {
  const auto [low, high] = std::minmax_element(image, image + static_cast<ptrdiff_t>(size.height) * size.width);
  const float darkest = *low, range = std::max(*high - *low, 1e-6f);
  for (int row = 0; row < size.height * scale; ++row)
    for (int column = 0; column < size.width * scale; ++column) {
      const float value = image[static_cast<ptrdiff_t>(row / scale) * size.width + column / scale];
      const auto gray = static_cast<uint8_t>(std::nearbyint(255.0f * (value - darkest) / range));
      picture.draw(row, column, {gray, gray, gray});
    }
}

// The pixels around a mask, which itself stays to be seen.
void draw_outline(const uint8_t *mask, ImageSize size, int scale, Colour colour, Picture &picture) {
  const int height = size.height * scale, width = size.width * scale;
  const auto is_inside = [&](int row, int column) {
    return row >= 0 && column >= 0 && row < height && column < width &&
           mask[static_cast<ptrdiff_t>(row / scale) * size.width + column / scale] != 0;
  };
  for (int row = 0; row < height; ++row)
    for (int column = 0; column < width; ++column) {
      if (is_inside(row, column)) continue;
      bool is_near = false;
      for (int down = -1; down <= 1; ++down)
        for (int across = -1; across <= 1; ++across) is_near |= is_inside(row + down, column + across);
      if (is_near) picture.draw(row, column, colour);
    }
}

}  // namespace

ImageSize overlay_size(ImageSize size) noexcept {
  const int scale = scale_of(size);
  return {size.height * scale, size.width * scale};
}

bool draw_overlay(const float *image, ImageSize size, const uint8_t *mask, const SegmentedObject *objects,
                  int object_count, const uint8_t *labelled, uint8_t *pixels) noexcept {
  return guarded([&] {
    if (std::min(size.height, size.width) < 1) throw UsageFailure("an image without pixels cannot be drawn.");
    const int scale = scale_of(size);
    Picture picture(pixels, overlay_size(size));
    draw_image(image, size, scale, picture);
    if (labelled != nullptr) draw_outline(labelled, size, scale, kLabelled, picture);
    draw_outline(mask, size, scale, kFound, picture);
    for (int index = 0; index < std::min(object_count, kBoxes); ++index) {
      const auto &[top, left, bottom, right] = objects[index].box;
      picture.draw_box(scale * top - 3, scale * left - 3, scale * bottom + 2, scale * right + 2, kBox);
    }
    return true;
  });
}

}  // namespace edgekit
