// Tokenizer and TextStream.

#include "edgekit/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "added_tokens.h"
#include "bpe.h"
#include "core/failure.h"
#include "tokenizer_file.h"
#include "utf8.h"
#include "words.h"

namespace edgekit {
namespace {

// Places in a word have 32 bits.
constexpr size_t kLongestText = INT32_MAX;

std::vector<AddedToken> chosen(const std::vector<AddedToken> &tokens, bool normalized) {
  std::vector<AddedToken> found;
  for (const AddedToken &token : tokens)
    if (token.normalized == normalized) found.push_back(token);
  return found;
}

// As much as there is room for.
template <typename T, typename Values>
void copy(const Values &values, T *to, size_t room, size_t *count) {
  std::copy_n(values.data(), std::min(room, values.size()), to);
  *count = values.size();
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerFile file)
      : bytes(std::move(file.bytes)),
        ends(std::move(file.ends)),
        bpe(file.byte_tokens, std::move(file.merges)),
        plain(chosen(file.added, false)),
        normalized(chosen(file.added, true)),
        adds_space(file.adds_space),
        special(ends.size()) {
    for (const AddedToken &token : file.added) special[static_cast<size_t>(token.token)] = token.special;
  }

  std::vector<int64_t> encode(std::string_view text) const {
    if (text.size() > kLongestText)
      throw UsageFailure(format("the text has %zu bytes, at most %zu are taken: split it.", text.size(), kLongestText));
    const size_t invalid = find_invalid(text);
    if (invalid != std::string_view::npos)
      throw UsageFailure(format("the text is not UTF-8 at byte %zu: convert it.", invalid));
    std::vector<int64_t> tokens;
    plain.split(text, [&](const AddedToken *token, std::string_view part) {
      if (token != nullptr) return tokens.push_back(token->token);
      normalized.split(part, [&](const AddedToken *inner, std::string_view words) {
        if (inner != nullptr) return tokens.push_back(inner->token);
        add_words(words, tokens);
      });
    });
    return tokens;
  }

  void add_words(std::string_view text, std::vector<int64_t> &tokens) const {
    std::string spaced;
    if (adds_space && text.front() != ' ') {
      spaced.append(" ").append(text);
      text = spaced;
    }
    while (!text.empty()) {
      const size_t size = first_word(text);
      bpe.encode(text.substr(0, size), tokens);
      text.remove_prefix(size);
    }
  }

  // Bytes that a token adds to a text.
  std::string_view bytes_of(int64_t token) const {
    if (token < 0 || token >= static_cast<int64_t>(ends.size()) || special[static_cast<size_t>(token)]) return {};
    const size_t index = static_cast<size_t>(token), start = index == 0 ? 0 : ends[index - 1];
    return std::string_view(bytes).substr(start, ends[index] - start);
  }

  std::string bytes;
  std::vector<uint32_t> ends;
  Bpe bpe;
  AddedTokens plain, normalized;
  bool adds_space;
  std::vector<bool> special;
};

struct TextStream::Impl {
  explicit Impl(const Tokenizer::Impl &from) : tokenizer(from) {}

  const Tokenizer::Impl &tokenizer;
  std::string held;  // bytes that were not given yet
  std::string piece;
};

TokenizerPointer Tokenizer::open(const char *file) noexcept {
  return guarded([&] { return TokenizerPointer(new Tokenizer(std::make_unique<Impl>(read_tokenizer_file(file)))); });
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Tokenizer::~Tokenizer() = default;

void TokenizerDeleter::operator()(Tokenizer *tokenizer) const noexcept { delete tokenizer; }

int64_t Tokenizer::size() const noexcept { return static_cast<int64_t>(impl_->ends.size()); }

bool Tokenizer::encode(const char *text, size_t size, int64_t *tokens, size_t room, size_t *count) const noexcept {
  return guarded([&] {
    copy(impl_->encode({text, size}), tokens, room, count);
    return true;
  });
}

bool Tokenizer::decode(const int64_t *tokens, size_t count, char *text, size_t room, size_t *size) const noexcept {
  return guarded([&] {
    std::string bytes;
    for (size_t index = 0; index < count; ++index) bytes += impl_->bytes_of(tokens[index]);
    copy(valid_text(bytes), text, room, size);
    return true;
  });
}

TextStreamPointer Tokenizer::stream() const noexcept {
  return guarded([&] {
    auto impl = std::make_unique<TextStream::Impl>(*impl_);
    return TextStreamPointer(new TextStream(std::move(impl)));
  });
}

TextStream::TextStream(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

TextStream::~TextStream() = default;

void TextStreamDeleter::operator()(TextStream *stream) const noexcept { delete stream; }

const char *TextStream::add(int64_t token, size_t *size) noexcept {
  return guarded([&]() -> const char * {
    impl_->held += impl_->tokenizer.bytes_of(token);
    impl_->piece = valid_text(impl_->held);
    // At the end, what is replaced may be the start of a character.
    const std::string_view piece = impl_->piece;
    const bool ends_so = piece.size() >= kReplacement.size() &&
                         piece.substr(piece.size() - kReplacement.size()) == kReplacement;
    if (ends_so) {
      impl_->piece.clear();
    } else {
      impl_->held.clear();
    }
    *size = impl_->piece.size();
    return impl_->piece.c_str();
  });
}

}  // namespace edgekit
