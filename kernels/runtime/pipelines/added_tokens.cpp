#include "added_tokens.h"

#include <algorithm>

#include "words.h"

namespace edgekit {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken &a, const AddedToken &b) { return a.text < b.text; });
}

const AddedToken *AddedTokens::longest(std::string_view text) const {
  const AddedToken *found = nullptr;
  // Tokens that agree with the text so far; those of exactly that many bytes come first.
  auto first = tokens_.begin(), last = tokens_.end();
  for (size_t place = 0; place < text.size() && first != last; ++place) {
    const auto byte_of = [place](const AddedToken &token) { return static_cast<uint8_t>(token.text[place]); };
    const uint8_t wanted = static_cast<uint8_t>(text[place]);
    first = std::partition_point(first, last, [&](const AddedToken &token) { return byte_of(token) < wanted; });
    last = std::partition_point(first, last, [&](const AddedToken &token) { return byte_of(token) == wanted; });
    if (first != last && first->text.size() == place + 1) found = &*first++;
  }
  return found;
}

void AddedTokens::split(std::string_view text,
                        const std::function<void(const AddedToken *token, std::string_view part)> &take) const {
  size_t given = 0, place = 0;
  while (!tokens_.empty() && place < text.size()) {
    const AddedToken *token = longest(text.substr(place));
    if (token == nullptr) {
      ++place;
      continue;
    }
    size_t start = place, end = place + token->text.size();
    // The search goes on after the token itself: what it takes to its right may hold another one.
    place = end;
    if (token->takes_left) start = std::max(start - trailing_space(text.substr(0, start)), given);
    if (start >= end) continue;  // it is white space that the token before took
    if (token->takes_right) end += leading_space(text.substr(end));
    if (given < start) take(nullptr, text.substr(given, start - given));
    take(token, text.substr(start, end - start));
    given = end;
  }
  if (given < text.size()) take(nullptr, text.substr(given));
}

}  // namespace edgekit
