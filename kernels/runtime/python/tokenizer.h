// Tokenizer for Python: str and lists of int.
#pragma once

#include <vector>

#include "edgekit/tokenizer.h"
#include "module.h"

namespace edgekit {

class PythonTokenizer {
 public:
  explicit PythonTokenizer(const std::string &file);
  // Of a tokenizer that outlives it.
  explicit PythonTokenizer(const Tokenizer &tokenizer) : tokenizer_(&tokenizer) {}

  const Tokenizer &get() const { return *tokenizer_; }
  std::vector<int64_t> encode(nb::bytes text) const;
  nb::str decode(const std::vector<int64_t> &tokens) const;

 private:
  TokenizerPointer owned_;
  const Tokenizer *tokenizer_;
};

// What `encode`, of a tokenizer or of a text generator, gives.
template <typename Encoder>
std::vector<int64_t> encoded(const Encoder &encoder, nb::bytes text) {
  // At most one token a byte, in all but odd cases.
  std::vector<int64_t> tokens(text.size());
  size_t count = 0;
  if (!encoder.encode(text.c_str(), text.size(), tokens.data(), tokens.size(), &count)) raise_last_error();
  const bool fits = count <= tokens.size();
  tokens.resize(count);
  if (!fits && !encoder.encode(text.c_str(), text.size(), tokens.data(), count, &count)) raise_last_error();
  return tokens;
}

}  // namespace edgekit
