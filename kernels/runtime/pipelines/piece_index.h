// Tokens by their text: a hash table of open addressing, for tens of thousands of short strings.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace edgekit {

class PieceIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // `texts`: of each token; they must outlive the index.
  explicit PieceIndex(const std::vector<std::string_view> &texts) : texts_(texts) {
    size_t slots = 16;
    while (slots < 2 * texts.size()) slots *= 2;
    slots_.assign(slots, kNone);
    for (size_t token = 0; token < texts.size(); ++token) slots_[slot_of(texts[token])] = static_cast<uint32_t>(token);
  }

  // The token of this text, kNone if there is none.
  uint32_t find(std::string_view text) const { return slots_[slot_of(text)]; }

 private:
  size_t slot_of(std::string_view text) const {
    size_t slot = std::hash<std::string_view>()(text) & (slots_.size() - 1);
    while (slots_[slot] != kNone && texts_[slots_[slot]] != text) slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }

  const std::vector<std::string_view> &texts_;
  std::vector<uint32_t> slots_;
};

}  // namespace edgekit
