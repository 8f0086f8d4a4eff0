// Finding the tokens that stand in a text as they are.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "tokenizer_file.h"

namespace edgekit {

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Calls `take` for every part of a text in order: a token, or what lies between (nullptr). At each place the longest
  // token counts.
  void split(std::string_view text,
             const std::function<void(const AddedToken *token, std::string_view part)> &take) const;

 private:
  // The longest token that a text begins with.
  const AddedToken *longest(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // by text
};

}  // namespace edgekit
