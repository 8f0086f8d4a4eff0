// What an image file is, and whether it is whole: its decoder takes what is missing for black.
#pragma once

#include <cstdint>
#include <string>

namespace edgekit {

enum class ImageKind : uint8_t { unknown, png, jpeg, bmp, tiff };

// By its first bytes.
ImageKind kind_of(const std::string &file);

// What a PNG's header says; false if it has none.
bool png_size(const std::string &file, int64_t &height, int64_t &width);

// Whether a file of this kind goes on to its end: a PNG's chunks with their checksums, a JPEG's segments, a BMP's rows.
bool is_whole(ImageKind kind, const std::string &file);

}  // namespace edgekit
