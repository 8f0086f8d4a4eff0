#include "image_file.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace edgekit {
namespace {

bool begins_with(const std::string &file, const char *bytes, size_t count) {
  return file.compare(0, count, bytes, count) == 0;
}

uint8_t byte_at(const std::string &file, size_t place) { return static_cast<uint8_t>(file[place]); }

uint32_t big_endian(const std::string &file, size_t place, int bytes) {
  uint32_t number = 0;
  for (int index = 0; index < bytes; ++index) number = number << 8 | byte_at(file, place + static_cast<size_t>(index));
  return number;
}

uint32_t little_endian(const std::string &file, size_t place, int bytes) {
  uint32_t number = 0;
  for (int index = bytes; index-- > 0;) number = number << 8 | byte_at(file, place + static_cast<size_t>(index));
  return number;
}

// CRC-32 as PNG has it (ISO 3309), a byte at a time.
uint32_t checksum(const std::string &file, size_t begin, size_t end) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t rest = byte;
      for (int bit = 0; bit < 8; ++bit) rest = rest & 1 ? 0xEDB88320u ^ rest >> 1 : rest >> 1;
      table[byte] = rest;
    }
    return table;
  }();
  uint32_t sum = 0xFFFFFFFFu;
  for (size_t place = begin; place < end; ++place) sum = kTable[(sum ^ byte_at(file, place)) & 0xFF] ^ sum >> 8;
  return ~sum;
}

// Chunks of length, type, data and checksum, up to the type IEND.
bool is_whole_png(const std::string &file) {
  size_t place = 8;
  while (file.size() - place >= 12) {
    const size_t length = big_endian(file, place, 4);
    if (length > file.size() - place - 12) return false;
    const size_t end = place + 8 + length;
    if (checksum(file, place + 4, end) != big_endian(file, end, 4)) return false;
    if (file.compare(place + 4, 4, "IEND") == 0) return true;
    place = end + 4;
  }
  return false;
}

// Markers (0xFF and a number), most with a segment whose length follows; after a start of scan come coded bytes up to
// the next marker that is neither a stuffed 0xFF (0) nor a restart (0xD0 to 0xD7). 0xD9 ends the image.
bool is_whole_jpeg(const std::string &file) {
  constexpr uint8_t kRestart = 0xD0, kStart = 0xD8, kEnd = 0xD9, kScan = 0xDA;
  size_t place = 2;
  while (place + 2 <= file.size()) {
    if (byte_at(file, place) != 0xFF) {
      ++place;  // bytes between segments, which decoders skip
      continue;
    }
    const uint8_t marker = byte_at(file, place + 1);
    if (marker == 0xFF) {  // a fill byte
      ++place;
      continue;
    }
    place += 2;
    if (marker == kEnd) return true;
    if (marker <= 1 || (marker >= kRestart && marker <= kStart)) continue;
    if (file.size() - place < 2) return false;
    const size_t length = big_endian(file, place, 2);
    if (length < 2 || length > file.size() - place) return false;
    place += length;
    if (marker != kScan) continue;
    while (place + 2 <= file.size()) {
      const uint8_t next = byte_at(file, place + 1);
      if (byte_at(file, place) == 0xFF && next != 0 && (next < kRestart || next >= kStart)) break;
      ++place;
    }
  }
  return false;
}

// Uncompressed rows, each filled up to 4 bytes, from the place that the header names.
bool is_whole_bmp(const std::string &file) {
  if (file.size() < 26) return false;
  const uint64_t begin = little_endian(file, 10, 4);
  const bool is_old = little_endian(file, 14, 4) == 12;  // a header of OS/2, with 16-bit numbers
  if (!is_old && file.size() < 54) return false;
  const int bytes = is_old ? 2 : 4;
  const auto side = [&](size_t place) {
    const uint32_t number = little_endian(file, place, bytes);
    return static_cast<uint64_t>(is_old ? number : std::abs(static_cast<int64_t>(static_cast<int32_t>(number))));
  };
  const uint64_t width = side(18), height = side(is_old ? 20 : 22);
  const uint64_t bits = little_endian(file, is_old ? 24 : 28, 2);
  const uint32_t compression = is_old ? 0 : little_endian(file, 30, 4);
  if (compression == 1 || compression == 2) return true;  // run lengths, which the decoder refuses by name
  return begin + (width * bits + 31) / 32 * 4 * height <= file.size();
}

}  // namespace

ImageKind kind_of(const std::string &file) {
  if (begins_with(file, "\x89PNG\r\n\x1A\n", 8)) return ImageKind::png;
  if (begins_with(file, "\xFF\xD8\xFF", 3)) return ImageKind::jpeg;
  if (begins_with(file, "BM", 2)) return ImageKind::bmp;
  if (begins_with(file, "II*\0", 4) || begins_with(file, "MM\0*", 4)) return ImageKind::tiff;
  return ImageKind::unknown;
}

bool png_size(const std::string &file, int64_t &height, int64_t &width) {
  if (file.size() < 24) return false;
  width = big_endian(file, 16, 4);
  height = big_endian(file, 20, 4);
  return true;
}

bool is_whole(ImageKind kind, const std::string &file) {
  if (kind == ImageKind::png) return is_whole_png(file);
  if (kind == ImageKind::jpeg) return is_whole_jpeg(file);
  return kind == ImageKind::bmp && is_whole_bmp(file);
}

}  // namespace edgekit
