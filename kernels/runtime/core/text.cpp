#include "text.h"

#include <cstdint>

#include "failure.h"

namespace edgekit {
namespace {

constexpr size_t kShownBytes = 80;
constexpr size_t kShownNames = 8;

bool continues(unsigned char c) { return (c & 0xc0) == 0x80; }

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4) return false;
    uint32_t code = lead & (0x3fu >> more);
    for (int index = 0; index < more; ++index, ++at) {
      if (at >= text.size() || !continues(static_cast<unsigned char>(text[at]))) return false;
      code = code << 6 | (static_cast<unsigned char>(text[at]) & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  }
  return true;
}

std::string on_one_line(std::string_view name) {
  const bool text = is_utf8(name);
  std::string shown;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte > 0x7f && !text)) shown += format("\\x%02x", byte);
    else shown += c;
  }
  return shown;
}

std::string in_quotes(std::string_view text) {
  const bool cut = text.size() > kShownBytes;
  if (cut) {
    size_t end = kShownBytes;
    while (end > 0 && continues(static_cast<unsigned char>(text[end]))) --end;
    text = text.substr(0, end);
  }
  const char mark =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string shown(1, mark);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') shown += "\\n";
    else if (c == '\r') shown += "\\r";
    else if (c == '\t') shown += "\\t";
    else if (c == mark || c == '\\') (shown += '\\') += c;
    else if (byte < 0x20 || byte == 0x7f) shown += format("\\x%02x", byte);
    else shown += c;
  }
  return shown + (cut ? "..." : "") + mark;
}

std::string listed(const std::vector<std::string> &names) {
  std::string shown;
  for (size_t index = 0; index < names.size() && index < kShownNames; ++index)
    shown += (index > 0 ? ", " : "") + names[index];
  return names.size() > kShownNames ? shown + ", ..." : shown;
}

}  // namespace edgekit
