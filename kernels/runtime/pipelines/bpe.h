// Byte pair encoding of one word.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace edgekit {

// Two neighbours become one piece; of those that can, the ones of the lowest rank first.
struct Merge {
  uint32_t left, right;
  uint32_t rank;
  uint32_t merged;

  uint64_t pair() const { return uint64_t{left} << 32 | right; }
};

class Bpe {
 public:
  Bpe() = default;
  // Pieces of single bytes, and the merges by their pair, none twice.
  Bpe(const std::array<uint32_t, 256> &bytes, std::vector<Merge> merges);

  // Adds the pieces of a word to `pieces`. O(n log n) for n bytes.
  void encode(std::string_view word, std::vector<int64_t> &pieces) const;

 private:
  const Merge *find(uint32_t left, uint32_t right) const;

  std::array<uint32_t, 256> bytes_ = {};
  std::vector<Merge> merges_;
};

}  // namespace edgekit
