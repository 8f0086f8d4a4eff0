// The k-th largest of the numbers that a warp or a block holds in registers.
//
//     WarpTeam team;                                   or BlockTeam<threads> team(block_memory<...>().memory)
//     float x[kEach];                                  this thread's numbers, NaN where a row has ended
//     const Cut cut = find_cut<kGroups>(team, x, k);   the same in every thread
//
//     cut.whole:     the k largest are those with cut.reached_by(x). Else
//     cut.above(x)   x is one of the k largest
//     cut.equal(x)   x equals the k-th largest: in a row's order the first `cut.ties` of these are among the k largest
//
// Numbers order as kernels/ops/common/key.h has it, NaN lowest and -0 equal to 0, which is what comparing floats does:
// no number is made into a key, and a round of the search costs two instructions a number.
//
// The search. Every thread takes the largest of each of kGroups groups of its numbers. The k-th largest of those is a
// bound that at least k numbers reach, and few more do: with 384 groups of 8 random numbers and k = 96 about 110. It is
// found by bisection among the groups, and the k-th number from there by bisection among all numbers, which ends as
// soon as exactly k are above. No numbers take more than 2 * 40 rounds.
#pragma once

#include "device.cuh"

namespace edgekit::cuda {

// Numbers as integers that order like them.
constexpr int kNanKey = -0x7fffffff - 1, kInfinityKey = 0x7f800000, kLargestKey = kInfinityKey - 1;

inline int key_of(float number) {
  const unsigned bits = float_bits(number), magnitude = bits & 0x7fffffffu;
  if (magnitude > static_cast<unsigned>(kInfinityKey)) return kNanKey;
  return bits >> 31 ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
}

// Not of kNanKey. Of a key above infinity's NaN, which no number reaches; of one below -infinity's that.
inline float number_of(int key) {
  key = max(key, -kInfinityKey);
  return bits_float(key >= 0 ? static_cast<unsigned>(key) : 0x80000000u - static_cast<unsigned>(key));
}

// A key to compare numbers with.
struct Bound {
  explicit Bound(int key) : number(number_of(key)), all(key == kNanKey) {}
  bool reached_by(float x) const { return x >= number || all; }
  float number;
  bool all;
};

struct Cut {
  Cut(int key, unsigned ties, bool whole) : least(key), next(key + 1), ties(ties), whole(whole) {}
  bool above(float x) const { return next.reached_by(x); }
  bool reached_by(float x) const { return least.reached_by(x); }
  bool equal(float x) const { return reached_by(x) && !above(x); }

  Bound least, next;  // k numbers or more reach the one, fewer than k the other, which is the key after it
  unsigned ties;      // of those between, how many are taken
  bool whole;         // exactly k reach `least`: it may then be less than the k-th largest
};

// What threads that look for a cut together can ask each other. All of them come to every call.
struct WarpTeam {
  static constexpr unsigned kThreads = kWarp;
  unsigned sum(unsigned mine) { return sum_warp(mine); }
  unsigned count(bool mine) { return count_bits(ballot(mine)); }
  int largest(int mine) { return largest_in_warp(mine); }
  // The sum of the threads before this one; and of all.
  unsigned before(unsigned mine, unsigned &total) {
    unsigned upto = mine;
    for (unsigned by = 1; by < kWarp; by *= 2) {
      const unsigned other = shuffle_up(upto, by);
      if (threadIdx.x % kWarp >= by) upto += other;
    }
    total = shuffle(upto, kWarp - 1);
    return upto - mine;
  }
};

// One barrier a call. The block has other uses for the memory only after a barrier of its own.
template <unsigned kSize>
class BlockTeam {
 public:
  static constexpr unsigned kThreads = kSize;
  struct Memory {
    unsigned parts[2][kWarp];  // in turn: a thread may be one call ahead of another
  };
  explicit BlockTeam(Memory &memory) : memory_(memory) {}

  unsigned sum(unsigned mine) { return sum_warp(exchange(sum_warp(mine), 0)); }
  unsigned count(bool mine) { return static_cast<unsigned>(count_in_block(mine)); }
  int largest(int mine) {
    return largest_in_warp(static_cast<int>(exchange(static_cast<unsigned>(largest_in_warp(mine)), kLowest)));
  }
  unsigned before(unsigned mine, unsigned &total) {
    WarpTeam warp;
    unsigned of_warp = 0;
    const unsigned within = warp.before(mine, of_warp);
    const unsigned of_warps = warp.before(exchange(of_warp, 0), total);
    return within + shuffle(of_warps, threadIdx.x / kWarp);
  }

 private:
  static constexpr unsigned kWarps = kSize / kWarp, kLowest = 0x80000000u;  // kNanKey
  static_assert(kSize % kWarp == 0 && kWarps <= kWarp, "a block has whole warps, 32 at most");
  // Every warp's number, one a lane.
  unsigned exchange(unsigned of_warp, unsigned otherwise) {
    const unsigned lane = threadIdx.x % kWarp;
    auto &parts = memory_.parts[turn_];
    turn_ ^= 1;
    if (lane == 0) parts[threadIdx.x / kWarp] = of_warp;
    sync_block();
    return lane < kWarps ? parts[lane] : otherwise;
  }
  Memory &memory_;
  unsigned turn_ = 0;
};

// How many of a team's numbers reach a bound that is a number.
template <typename Team, int kEach>
__forceinline__ unsigned count_reaching(Team &team, const float (&x)[kEach], float bound) {
  if constexpr (kEach == 1) {
    return team.count(x[0] >= bound);
  } else {
    unsigned mine = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) count_if_reaches(mine, x[i], bound);
    return team.sum(mine);
  }
}

// A part of the keys that the search has come down to: `low` is reached by k numbers or more, none above `high` is.
struct Bracket {
  int low, high;
  unsigned reach;  // how many reach `low`
};

// Halves a bracket until at most `enough` numbers reach its lower end, or it is one key. First by the numbers, which is
// quick where they lie evenly, then by their keys, which ends whatever they are.
template <typename Team, int kEach>
__forceinline__ void narrow(Team &team, const float (&x)[kEach], unsigned k, unsigned enough, Bracket &bracket) {
  constexpr int kByNumbers = 8;
  if (bracket.low >= -kLargestKey && bracket.high <= kLargestKey) {
    float low = number_of(bracket.low), high = number_of(bracket.high);
#pragma unroll 1
    for (int round = 0; round < kByNumbers && low < high && bracket.reach > enough; ++round) {
      const float middle = 0.5f * low + 0.5f * high;
      const unsigned found = count_reaching(team, x, middle);
      if (found >= k) {
        low = middle;
        bracket.reach = found;
      } else {
        high = middle;
      }
    }
    bracket.low = key_of(low);
    bracket.high = key_of(high);
  }
#pragma unroll 1
  while (bracket.low < bracket.high && bracket.reach > enough) {
    const unsigned span = static_cast<unsigned>(bracket.high) - static_cast<unsigned>(bracket.low);
    const int middle = static_cast<int>(static_cast<unsigned>(bracket.low) + span / 2 + (span & 1));
    const unsigned found = count_reaching(team, x, number_of(middle));
    if (found >= k) {
      bracket.low = middle;
      bracket.reach = found;
    } else {
      bracket.high = middle - 1;
    }
  }
}

// A bracket whose lower end at least k of a team's numbers reach, from the largest of every thread's kGroups groups;
// the lowest key if fewer than k of those are numbers.
template <int kGroups, typename Team, int kEach>
__forceinline__ Bracket find_bracket(Team &team, const float (&x)[kEach], unsigned k, unsigned enough) {
  float most[kGroups];
#pragma unroll
  for (int i = 0; i < kEach; ++i) most[i % kGroups] = i < kGroups ? x[i] : fmaxf(most[i % kGroups], x[i]);
  float high = most[0], low = most[0];  // of those that are no NaN
#pragma unroll
  for (int group = 1; group < kGroups; ++group) {
    high = fmaxf(high, most[group]);
    low = fminf(low, most[group]);
  }
  Bracket bracket{kNanKey, team.largest(key_of(high)), Team::kThreads * kEach};
  const unsigned reach = count_reaching(team, most, -infinity());
  if (k > reach) return bracket;
  Bracket groups{-team.largest(low == low ? -key_of(low) : kNanKey), bracket.high, reach};
  narrow(team, most, k, enough, groups);
  bracket.low = groups.low;
  return bracket;
}

// The k-th largest of a team's numbers, which a bracket holds.
template <typename Team, int kEach>
__forceinline__ Cut find_cut_within(Team &team, const float (&x)[kEach], unsigned k, Bracket bracket) {
  narrow(team, x, k, k, bracket);
  if (bracket.reach == k) return Cut(bracket.low, k, true);
  const Cut cut(bracket.low, 0, false);
  const unsigned above = count_reaching(team, x, cut.next.number);
  const unsigned reach = count_reaching(team, x, cut.least.number);  // fewer than k where that is NaN
  return Cut(bracket.low, reach == k ? k : k - above, reach == k);
}

// The k-th largest of a team's numbers; k is 1 or more, and no more than there are, NaN counted.
template <int kGroups, typename Team, int kEach>
__forceinline__ Cut find_cut(Team &team, const float (&x)[kEach], unsigned k) {
  return find_cut_within(team, x, k, find_bracket<kGroups>(team, x, k, k + k / 8));
}

}  // namespace edgekit::cuda
