#include "edgekit/images.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/failure.h"
#include "core/files.h"
#include "image_file.h"
#include "stb.h"

namespace edgekit {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 26;
// The largest image without compression: 8 bytes a pixel.
constexpr uint64_t kLargestFile = uint64_t{kMostPixels} * 8;

Failure too_large(const char *path, int64_t height, int64_t width) {
  return Failure(format("%s has %lldx%lld pixels, at most %lld million are taken: crop or shrink it first.", path,
                        static_cast<long long>(width), static_cast<long long>(height),
                        static_cast<long long>(kMostPixels >> 20)));
}

bool is_too_large(int64_t height, int64_t width) { return height > kMostPixels || height * width > kMostPixels; }

Failure cut_short(const char *path) { return Failure(format("%s is damaged or cut short: copy it again.", path)); }

// stb's reason is a phrase of a few words.
Failure undecodable(const char *path) {
  const char *reason = stbi_failure_reason();
  return Failure(format("%s is damaged or cut short, or of a kind that edgekit does not read (%s): copy it again, or "
                        "save it as PNG.",
                        path, reason == nullptr ? "no reason given" : reason));
}

// What tells a file that may be decoded from others.
std::string read_image_file(const char *path, ImageSize *size, int *channels) {
  if (!is_file(path)) throw UsageFailure(format("there is no image %s.", path));
  if (file_size(path) > kLargestFile)
    throw Failure(format("%s has more bytes than any image of %lld million pixels, at most that many are taken: crop "
                         "or shrink it first.",
                         path, static_cast<long long>(kMostPixels >> 20)));
  std::string file = read_file(path, kLargestFile);
  const ImageKind kind = kind_of(file);
  if (kind == ImageKind::tiff)
    throw Failure(format("%s is a TIFF, which is not read here: save it as PNG, JPEG or BMP.", path));
  if (kind == ImageKind::unknown)
    throw Failure(format("%s %s: give a PNG, JPEG or BMP file.", path,
                         file.empty() ? "is empty" : "is not an image that edgekit reads"));
  int64_t height = 0, width = 0;
  // The decoder does not tell the size of a PNG that it finds too large.
  if (kind == ImageKind::png && png_size(file, height, width) && is_too_large(height, width))
    throw too_large(path, height, width);
  if (!stbi_info_from_memory(reinterpret_cast<const stbi_uc *>(file.data()), static_cast<int>(file.size()),
                             &size->width, &size->height, channels))
    throw undecodable(path);
  width = size->width;
  height = std::abs(int64_t{size->height});  // of a BMP from the top down it is negative
  if (is_too_large(height, width)) throw too_large(path, height, width);
  if (std::min(width, height) < kShortestSide)
    throw Failure(format("%s has %lldx%lld pixels: at least %dx%d are needed.", path, static_cast<long long>(width),
                         static_cast<long long>(height), kShortestSide, kShortestSide));
  size->height = static_cast<int>(height);
  if (!is_whole(kind, file)) throw cut_short(path);
  return file;
}

// The luma in 8 bits, with the weights 0.299, 0.587 and 0.114 in units of 1 / 65536.
template <typename Sample>
uint32_t luma(const Sample *pixel) {
  return (pixel[0] * 19595u + pixel[1] * 38470u + pixel[2] * 7471u + 0x8000u) >> 16;
}

// `count` pixels of 1 to 4 channels; of 2 and 4 the last one is alpha.
template <typename Sample>
void to_gray(const Sample *pixels, size_t count, int channels, float full, float *gray) {
  for (size_t index = 0; index < count; ++index, pixels += channels)
    gray[index] = static_cast<float>(channels < 3 ? pixels[0] : luma(pixels)) / full;
}

// What the encoder wrote; no exception goes through it.
void append(void *file, void *bytes, int count) noexcept {
  try {
    static_cast<std::string *>(file)->append(static_cast<const char *>(bytes), static_cast<size_t>(count));
  } catch (const std::bad_alloc &) {
    static_cast<std::string *>(file)->clear();
  }
}

struct FreePixels {
  void operator()(void *pixels) const { stbi_image_free(pixels); }
};

}  // namespace

void ReleaseArray::operator()(void *array) const noexcept { std::free(array); }

ArrayPointer<float> read_gray(const char *path, ImageSize *size) noexcept {
  return guarded([&] {
    ImageSize found{};
    int channels = 0;
    const std::string file = read_image_file(path, &found, &channels);
    const auto *bytes = reinterpret_cast<const stbi_uc *>(file.data());
    const int length = static_cast<int>(file.size());
    const size_t count = static_cast<size_t>(found.height) * static_cast<size_t>(found.width);
    // Twice the largest pixel, and something for filled blocks and tables.
    const DecoderLimit limit(16 * count + (1 << 20));
    const bool is_deep = channels < 3 && stbi_is_16_bit_from_memory(bytes, length) != 0;
    int width = 0, height = 0;
    const std::unique_ptr<void, FreePixels> pixels(
        is_deep ? static_cast<void *>(stbi_load_16_from_memory(bytes, length, &width, &height, &channels, 0))
                : stbi_load_from_memory(bytes, length, &width, &height, &channels, 0));
    if (!pixels) throw undecodable(path);
    if (ImageSize{height, width} != found) throw cut_short(path);
    ArrayPointer<float> gray(static_cast<float *>(std::malloc(count * sizeof(float))));
    if (!gray) throw std::bad_alloc();
    if (is_deep) {
      to_gray(static_cast<const stbi_us *>(pixels.get()), count, channels, 65535.0f, gray.get());
    } else {
      to_gray(static_cast<const stbi_uc *>(pixels.get()), count, channels, 255.0f, gray.get());
    }
    *size = found;
    return gray;
  });
}

bool write_png(const char *path, const uint8_t *pixels, ImageSize size, int channels) noexcept {
  return guarded([&] {
    const size_t length = std::strlen(path);
    if (length < 4 || strcasecmp(path + length - 4, ".png") != 0)
      throw UsageFailure(format("%s is not the name of a picture: let it end in .png.", path));
    if ((channels != 1 && channels != 3) || std::min(size.height, size.width) < 1 ||
        int64_t{size.height} * size.width > kMostPixels)
      throw UsageFailure(format("a picture of %dx%d pixels with %d channels cannot be written: 1 or 3 channels and at "
                                "most %lld million pixels can.",
                                size.width, size.height, channels, static_cast<long long>(kMostPixels >> 20)));
    std::string file;
    // Without memory the encoder stops, or nothing is appended.
    if (!stbi_write_png_to_func(&append, &file, size.width, size.height, channels, pixels, size.width * channels) ||
        file.empty())
      throw std::bad_alloc();
    write_file(path, file.data(), file.size());
    return true;
  });
}

}  // namespace edgekit
