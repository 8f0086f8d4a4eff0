// tokenizer.json, the format of the package `tokenizers`, as far as it describes byte-level BPE.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpe.h"

namespace edgekit {

// A text that is one token wherever it stands, before words are looked at.
struct AddedToken {
  std::string text;
  int64_t token;
  bool special;      // decoding leaves it out
  bool takes_left;   // with the white space before it
  bool takes_right;  // and after it
  bool normalized;   // looked for in what the others left
};

struct TokenizerFile {
  std::string bytes;            // of all tokens, one after the other
  std::vector<uint32_t> ends;   // of each token's bytes
  std::array<uint32_t, 256> byte_tokens;
  std::vector<Merge> merges;    // as Bpe wants them
  std::vector<AddedToken> added;
  bool adds_space;              // before a text that does not begin with one
};

// Throws Failure where the file is damaged, or asks for anything that would not be done.
TokenizerFile read_tokenizer_file(const std::string &path);

}  // namespace edgekit
