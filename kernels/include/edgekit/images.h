// Gray images from files, the two ways to resize them, and pictures to files.
//
// An image is brightness as float32, row after row, full scale 1. Of a size, height comes first. Errors as in
// session.h. Everything here may be called from several threads at once.
#ifndef EDGEKIT_IMAGES_H
#define EDGEKIT_IMAGES_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "edgekit/session.h"

namespace edgekit {

struct ImageSize {
  int height;
  int width;
};

inline bool operator==(const ImageSize &a, const ImageSize &b) { return a.height == b.height && a.width == b.width; }
inline bool operator!=(const ImageSize &a, const ImageSize &b) { return !(a == b); }

// Gives back an array that the library made for the caller.
struct ReleaseArray {
  EDGEKIT_RUNTIME_API void operator()(void *array) const noexcept;
};
template <typename T>
using ArrayPointer = std::unique_ptr<T[], ReleaseArray>;

// An image with a shorter side is refused: networks see a neighbourhood of this size at least.
constexpr int kShortestSide = 16;

// The image in a PNG (8 or 16 bits), JPEG or BMP file; of colours the luma of ITU-R BT.601. Alpha is ignored.
// Colour with 16 bits a channel is read with 8. More than 64 million pixels are refused before they are decoded.
EDGEKIT_RUNTIME_API ArrayPointer<float> read_gray(const char *path, ImageSize *size) noexcept;

// Bilinear, pixel centres at halves, edges repeated: OpenCV's INTER_LINEAR. An image that shrinks is not smoothed.
EDGEKIT_RUNTIME_API bool resize_linear(const float *image, ImageSize size, float *to, ImageSize to_size) noexcept;

// The pixel at or before the position, without averaging: OpenCV's INTER_NEAREST. Elements of 1, 2, 4 or 8 bytes.
EDGEKIT_RUNTIME_API bool resize_nearest(const void *values, ImageSize size, size_t element_bytes, void *to,
                                        ImageSize to_size) noexcept;

// Writes a picture as PNG, whole or not at all; its folder is made. 1 channel is gray; 3 are red, green and blue. A
// channel takes a byte.
EDGEKIT_RUNTIME_API bool write_png(const char *path, const uint8_t *pixels, ImageSize size, int channels) noexcept;

}  // namespace edgekit

#endif  // EDGEKIT_IMAGES_H
