// The JSON of a tokenizer.json, its two long parts as flat lists: as a tree they would take ten times the memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace edgekit {

// Strings that lie one after the other.
class Strings {
 public:
  void add(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t index) const {
    const size_t start = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(bytes_).substr(start, ends_[index] - start);
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

struct TokenizerJson {
  Json fields;  // all but the entries of model.vocab and model.merges
  Strings pieces;
  std::vector<uint32_t> tokens;  // of each piece
  Strings merges;                // two pieces each
  std::string damage;            // why it is not what it should be, "" if it is
};

// Of a text of less than 4 GiB.
TokenizerJson parse_tokenizer(const std::string &text);

}  // namespace edgekit
