#include "utf8.h"

namespace edgekit {
namespace {

// What the first byte of a sequence says of it (Unicode 16, table 3-7): its size, and the range of the second byte.
struct Lead {
  uint8_t size, least, most;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte >= 0xE0 && byte <= 0xEF) {
    const uint8_t least = byte == 0xE0 ? 0xA0 : 0x80, most = byte == 0xED ? 0x9F : 0xBF;
    return {3, least, most};
  }
  if (byte >= 0xF0 && byte <= 0xF4) {
    const uint8_t least = byte == 0xF0 ? 0x90 : 0x80, most = byte == 0xF4 ? 0x8F : 0xBF;
    return {4, least, most};
  }
  return {0, 0, 0};
}

}  // namespace

CodePoint first_code_point(std::string_view text) noexcept {
  const auto byte = [&](uint32_t place) { return static_cast<uint8_t>(text[place]); };
  const Lead lead = lead_of(byte(0));
  if (lead.size == 0) return {0, 1, false};
  if (lead.size == 1) return {byte(0), 1, true};
  uint32_t code = byte(0) & (0x7Fu >> lead.size);
  for (uint32_t place = 1; place < lead.size; ++place) {
    if (place == text.size()) return {0, place, false};
    const uint8_t least = place == 1 ? lead.least : 0x80, most = place == 1 ? lead.most : 0xBF;
    if (byte(place) < least || byte(place) > most) return {0, place, false};
    code = code << 6 | (byte(place) & 0x3Fu);
  }
  return {code, lead.size, true};
}

size_t find_invalid(std::string_view text) noexcept {
  size_t place = 0;
  while (place < text.size()) {
    const CodePoint point = first_code_point(text.substr(place));
    if (!point.valid) return place;
    place += point.size;
  }
  return std::string_view::npos;
}

std::string valid_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const CodePoint point = first_code_point(bytes);
    text += point.valid ? bytes.substr(0, point.size) : kReplacement;
    bytes.remove_prefix(point.size);
  }
  return text;
}

}  // namespace edgekit
