// A warp a row: its numbers in registers.
#pragma once

#include "rank.cuh"

namespace edgekit::sparse_topk {

using namespace edgekit::cuda;

struct WarpRoom {
  unsigned places[kCudaRows][kCudaMostOfWarp];  // of candidates
};

// Where a lane's numbers lie: aligned rows are loaded 16 bytes at a time, others number by number.
template <typename T>
struct Places {
  static constexpr unsigned kWide = 16 / sizeof(T), kShift = sizeof(T) == 4 ? 2 : 3;
  Places(bool aligned, unsigned n) : shift(aligned ? kShift : 0), lane(threadIdx.x % kWarp) {
    const unsigned loads = n >> shift;
    count = (loads > lane ? (loads - lane + kWarp - 1) / kWarp : 0) << shift;
  }
  unsigned operator()(unsigned i) const { return ((i >> shift) * kWarp + lane) << shift | (i & ((1u << shift) - 1)); }

  unsigned shift, lane;
  unsigned count;  // how many of the lane's numbers the row has: its first ones
};

template <typename T, int kEach>
__forceinline__ void load(const T *x, const Places<T> &place, float (&numbers)[kEach]) {
  constexpr int kWide = Places<T>::kWide;
  const float nan = bits_float(0x7fc00000u);
  if (place.shift != 0) {
    const auto *from = reinterpret_cast<const uint4 *>(x) + place.lane;
#pragma unroll
    for (int i = 0; i < kEach; i += kWide) {
      float some[kWide];
#pragma unroll
      for (float &each : some) each = nan;
      if (i < static_cast<int>(place.count)) unpack(__ldg(from + i / kWide * kWarp), some);
#pragma unroll
      for (int j = 0; j < kWide; ++j) numbers[i + j] = some[j];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      numbers[i] = i < static_cast<int>(place.count) ? number(__ldg(x + place.lane + i * kWarp)) : nan;
  }
}

// A bit for each of a lane's numbers.
template <int kEach>
struct Marks {
  static constexpr int kWords = (kEach + 31) / 32;
  uint32_t words[kWords] = {};

  template <typename Marked>
  __forceinline__ void set(Marked marked) {
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (marked(i)) words[i / 32] |= 1u << i % 32;
  }
  void set_first(unsigned count) {
#pragma unroll
    for (int word = 0; word < kWords; ++word) {
      const unsigned mine = count - min(count, word * 32u);
      words[word] = mine >= 32 ? ~0u : (1u << mine) - 1;
    }
  }
  unsigned count() const {
    unsigned sum = 0;
#pragma unroll
    for (int word = 0; word < kWords; ++word) sum += count_bits(words[word]);
    return sum;
  }
};

// Takes the first `count` of the warp's `equal` numbers in the row's order. Numbers that are loaded together are
// neighbours in the row, and lanes follow each other.
template <int kEach>
__forceinline__ void take_first(WarpTeam &team, const Marks<kEach> &equal, unsigned count, unsigned together,
                                Marks<kEach> &taken) {
#pragma unroll
  for (int word = 0; word < Marks<kEach>::kWords; ++word) {
#pragma unroll 1
    for (unsigned shift = 0; shift < 32 && count > 0; shift += together) {
      uint32_t bits = equal.words[word] >> shift & ((1u << together) - 1);
      unsigned all = 0;
      const unsigned before = team.before(count_bits(bits), all), left = count > before ? count - before : 0;
      while (static_cast<unsigned>(count_bits(bits)) > left) bits &= ~(0x80000000u >> leading_zeros(bits));
      taken.words[word] |= bits << shift;
      count -= min(count, all);
    }
  }
}

template <typename T, int kEach, int kGroups>
__forceinline__ void select_by_warp(const CudaParams &p) {
  WarpRoom &room = block_memory<WarpRoom>();
  const unsigned warp = threadIdx.x / kWarp;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kCudaRows + warp;
  if (row >= p.rows) return;
  const T *x = static_cast<const T *>(p.x) + row * p.n;
  float numbers[kEach];
  const Places<T> place(p.aligned, p.n);
  load(x, place, numbers);

  WarpTeam team;
  Marks<kEach> marks;
  // Every number a group: as many as are sorted at once may reach the bound. Else some more than reach it are groups'.
  const unsigned enough = kGroups < kEach ? p.k + p.k / 16 : (p.k + kWarp - 1) / kWarp * kWarp;
  const Bracket bracket = find_bracket<kGroups>(team, numbers, p.k, enough);
  if (bracket.low == kNanKey) {
    marks.set_first(place.count);
  } else {
    const Bound bound(bracket.low);
    marks.set([&](int i) { return numbers[i] >= bound.number; });
  }
  unsigned count = 0, at = team.before(marks.count(), count);
  if (count > kCudaMostOfWarp) {
    const Cut cut = find_cut_within(team, numbers, p.k, bracket);
    const Bound sure = cut.whole ? cut.least : cut.next;
    marks = Marks<kEach>();
    marks.set([&](int i) { return sure.reached_by(numbers[i]); });
    if (!cut.whole) {
      Marks<kEach> equal;
      equal.set([&](int i) { return cut.equal(numbers[i]); });
      take_first(team, equal, cut.ties, 1u << place.shift, marks);
    }
    at = team.before(marks.count(), count);
  }
  unsigned *places = room.places[warp];
#pragma unroll
  for (int word = 0; word < Marks<kEach>::kWords; ++word)
    for (uint32_t left = marks.words[word]; left != 0; left &= left - 1)
      places[at++] = place(word * 32 + lowest_bit(left));
  sync_warp();
  const bool ranked = count <= kWarp       ? rank<1>(x, p.n, places, count, bracket)
                      : count <= 2 * kWarp ? rank<2>(x, p.n, places, count, bracket)
                                           : rank<4>(x, p.n, places, count, bracket);
  if (!ranked) rank_by_items(x, places, count);
  if (!p.sorted) sort_places(places, p.k);
  put(p, x, row, threadIdx.x % kWarp, kWarp, [&](unsigned i) { return places[i]; });
}

}  // namespace edgekit::sparse_topk
