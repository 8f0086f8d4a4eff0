#include "words.h"

#include <algorithm>
#include <iterator>

#include "unicode_tables.h"
#include "utf8.h"

namespace edgekit {
namespace {

enum class Kind { letter, number, space, other };

template <size_t N>
bool is_in(const CodeRange (&ranges)[N], uint32_t code) {
  const CodeRange *after = std::upper_bound(std::begin(ranges), std::end(ranges), code,
                                            [](uint32_t value, const CodeRange &range) { return value < range.first; });
  return after != std::begin(ranges) && code <= std::prev(after)->last;
}

Kind kind_of(uint32_t code) {
  if (is_in(kLetters, code)) return Kind::letter;
  if (is_in(kNumbers, code)) return Kind::number;
  return is_in(kSpaces, code) ? Kind::space : Kind::other;
}

// Bytes of the code points of one kind that a text begins with.
size_t run_of(Kind kind, std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const CodePoint point = first_code_point(text.substr(size));
    if (kind_of(point.code) != kind) break;
    size += point.size;
  }
  return size;
}

// Place of the last code point of a text that is not empty.
size_t last_place(std::string_view text) {
  size_t place = text.size() - 1;
  while (place > 0 && (static_cast<uint8_t>(text[place]) & 0xC0) == 0x80) --place;
  return place;
}

}  // namespace

size_t leading_space(std::string_view text) noexcept { return run_of(Kind::space, text); }

size_t trailing_space(std::string_view text) noexcept {
  size_t size = text.size();
  while (size > 0) {
    const size_t place = last_place(text.substr(0, size));
    if (kind_of(first_code_point(text.substr(place)).code) != Kind::space) break;
    size = place;
  }
  return text.size() - size;
}

size_t first_word(std::string_view text) noexcept {
  if (text.front() == '\'')
    for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (text.substr(0, ending.size()) == ending) return ending.size();
  const size_t start = text.front() == ' ' && text.size() > 1 ? 1 : 0;
  const Kind kind = kind_of(first_code_point(text.substr(start)).code);
  if (kind != Kind::space) return start + run_of(kind, text.substr(start));
  const size_t spaces = leading_space(text);
  if (spaces == text.size()) return spaces;
  // A word follows: the last space goes with it, or is one of its own.
  const size_t last = last_place(text.substr(0, spaces));
  return last > 0 ? last : spaces;
}

}  // namespace edgekit
