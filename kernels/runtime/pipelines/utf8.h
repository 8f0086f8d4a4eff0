// UTF-8: reading code points, and what replaces bytes that are none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace edgekit {

// What stands for bytes that are no character: U+FFFD.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct CodePoint {
  uint32_t code;
  uint32_t size;  // bytes; of one that is not valid, as many as one kReplacement stands for
  bool valid;
};

// The first code point of a text that is not empty. A sequence that is broken off has the size of its longest part that
// could begin a character (Unicode 16, 3.9, "substitution of maximal subparts").
CodePoint first_code_point(std::string_view text) noexcept;

// Place of the first byte that is no UTF-8; npos if there is none.
size_t find_invalid(std::string_view text) noexcept;

// The text with kReplacement where it is not valid.
std::string valid_text(std::string_view bytes);

}  // namespace edgekit
