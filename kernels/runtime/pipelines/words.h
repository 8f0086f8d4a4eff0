// Splitting a text into the words that byte-level BPE works on, as GPT-2 does it.
#pragma once

#include <cstddef>
#include <string_view>

namespace edgekit {

// Bytes of white space (White_Space) at the start and at the end of a text that is valid UTF-8.
size_t leading_space(std::string_view text) noexcept;
size_t trailing_space(std::string_view text) noexcept;

// Bytes of the first word of a text that is valid UTF-8 and not empty: what this expression matches,
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t first_word(std::string_view text) noexcept;

}  // namespace edgekit
