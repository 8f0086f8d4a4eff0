#include "bpe.h"

#include <algorithm>
#include <queue>

namespace edgekit {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// A piece of the word, in a list of neighbours.
struct Part {
  uint32_t piece;  // kNone once its left neighbour has it
  uint32_t before, after;
};

// A merge that was possible when it was found.
struct Candidate {
  const Merge *merge;
  uint32_t place;
};

// The lowest rank first, of equal ones the leftmost.
struct Later {
  bool operator()(const Candidate &a, const Candidate &b) const {
    return a.merge->rank != b.merge->rank ? a.merge->rank > b.merge->rank : a.place > b.place;
  }
};

}  // namespace

Bpe::Bpe(const std::array<uint32_t, 256> &bytes, std::vector<Merge> merges)
    : bytes_(bytes), merges_(std::move(merges)) {}

const Merge *Bpe::find(uint32_t left, uint32_t right) const {
  const uint64_t pair = Merge{left, right, 0, 0}.pair();
  const auto found = std::lower_bound(merges_.begin(), merges_.end(), pair,
                                      [](const Merge &merge, uint64_t wanted) { return merge.pair() < wanted; });
  return found != merges_.end() && found->pair() == pair ? &*found : nullptr;
}

void Bpe::encode(std::string_view word, std::vector<int64_t> &pieces) const {
  const uint32_t size = static_cast<uint32_t>(word.size());
  std::vector<Part> parts(size);
  for (uint32_t place = 0; place < size; ++place)
    parts[place] = {bytes_[static_cast<uint8_t>(word[place])], place == 0 ? kNone : place - 1,
                    place + 1 == size ? kNone : place + 1};

  std::priority_queue<Candidate, std::vector<Candidate>, Later> candidates;
  const auto look_at = [&](uint32_t place) {
    if (place == kNone || parts[place].after == kNone) return;
    const Merge *merge = find(parts[place].piece, parts[parts[place].after].piece);
    if (merge != nullptr) candidates.push({merge, place});
  };
  for (uint32_t place = 0; place + 1 < size; ++place) look_at(place);

  while (!candidates.empty()) {
    const Candidate next = candidates.top();
    candidates.pop();
    Part &left = parts[next.place];
    // Its neighbours may have been merged since.
    if (left.piece != next.merge->left || left.after == kNone || parts[left.after].piece != next.merge->right) continue;
    Part &right = parts[left.after];
    left.piece = next.merge->merged;
    left.after = right.after;
    right.piece = kNone;
    if (left.after != kNone) parts[left.after].before = next.place;
    look_at(left.before);
    look_at(next.place);
  }
  for (uint32_t place = 0; place != kNone && place < size; place = parts[place].after)
    pieces.push_back(parts[place].piece);
}

}  // namespace edgekit
