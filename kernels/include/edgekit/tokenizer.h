// Text to tokens and back: byte-level BPE, as a bundle's tokenizer.json describes it.
//
// Every text that is UTF-8 has tokens, for every byte has one. The result is that of the package `tokenizers`, without
// special tokens added and, when decoding, without those that are special.
//
// Errors and threads are as in session.h; a tokenizer may be used by several threads at once, a stream by one.
#ifndef EDGEKIT_TOKENIZER_H
#define EDGEKIT_TOKENIZER_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "session.h"

namespace edgekit {

class Tokenizer;
struct TokenizerDeleter {
  EDGEKIT_RUNTIME_API void operator()(Tokenizer *tokenizer) const noexcept;
};
using TokenizerPointer = std::unique_ptr<Tokenizer, TokenizerDeleter>;

class TextStream;
struct TextStreamDeleter {
  EDGEKIT_RUNTIME_API void operator()(TextStream *stream) const noexcept;
};
using TextStreamPointer = std::unique_ptr<TextStream, TextStreamDeleter>;

class EDGEKIT_RUNTIME_API Tokenizer {
 public:
  // Reads a tokenizer.json. What would give other tokens than `tokenizers` does is refused.
  static TokenizerPointer open(const char *file) noexcept;

  // How many tokens there are; they are numbered from 0.
  int64_t size() const noexcept;

  // Writes the first `room` tokens of a text, and to `count` how many it has: at most one a byte, and with a tokenizer
  // that adds a space before texts, twice as many.
  bool encode(const char *text, size_t size, int64_t *tokens, size_t room, size_t *count) const noexcept;
  // Writes the first `room` bytes of the tokens' text, and to `size` how many it has. Bytes that are no character come
  // out as U+FFFD; numbers that are no token give nothing.
  bool decode(const int64_t *tokens, size_t count, char *text, size_t room, size_t *size) const noexcept;

  // The text of tokens that come one by one. The tokenizer must outlive it.
  TextStreamPointer stream() const noexcept;

  Tokenizer(const Tokenizer &) = delete;
  Tokenizer &operator=(const Tokenizer &) = delete;

 private:
  friend struct TokenizerDeleter;
  friend class TextStream;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl) noexcept;
  ~Tokenizer();
  std::unique_ptr<Impl> impl_;
};

class EDGEKIT_RUNTIME_API TextStream {
 public:
  // What the next token adds to the text, and to `size` its bytes; valid until the next call. Nothing while a character
  // is not whole: it comes with its last token.
  const char *add(int64_t token, size_t *size) noexcept;

  TextStream(const TextStream &) = delete;
  TextStream &operator=(const TextStream &) = delete;

 private:
  friend class Tokenizer;
  friend struct TextStreamDeleter;
  struct Impl;
  explicit TextStream(std::unique_ptr<Impl> impl) noexcept;
  ~TextStream();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_TOKENIZER_H
