// A block a row: its numbers read as often as they are looked at.
#pragma once

#include "rank.cuh"

namespace edgekit::sparse_topk {

using namespace edgekit::cuda;

struct BlockRoom {
  BlockTeam<kCudaThreads>::Memory team;
  unsigned count;            // candidates found
  unsigned bin, left;        // of the histogram: where the k-th largest is, and its rank there
  unsigned places[kCudaMostOfWarp];
  alignas(16) int64_t items[1];  // as many as there is room for; before them, a histogram

  unsigned *bins() { return reinterpret_cast<unsigned *>(items); }
};
static_assert(sizeof(BlockRoom) <= kCudaHead + sizeof(int64_t));
static_assert(kCudaLeastRoom * sizeof(int64_t) >= kCudaBins * sizeof(unsigned));

using Team = BlockTeam<kCudaThreads>;

// The numbers of a row, which each thread sees some of, again at every call: visit(number, place).
template <typename T>
struct Row {
  static constexpr unsigned kWide = 16 / sizeof(T);

  template <typename Visit>
  __forceinline__ void each(Visit visit) const {
    if (aligned) {
      const auto *from = reinterpret_cast<const uint4 *>(x);
#pragma unroll 4
      for (unsigned at = threadIdx.x; at < n / kWide; at += kCudaThreads) {
        float some[kWide];
        unpack(__ldg(from + at), some);
#pragma unroll
        for (unsigned i = 0; i < kWide; ++i) visit(some[i], at * kWide + i);
      }
    } else {
#pragma unroll 4
      for (unsigned at = threadIdx.x; at < n; at += kCudaThreads) visit(number(__ldg(x + at)), at);
    }
  }

  const T *x;
  unsigned n;
  bool aligned;
};

// The cut by three histograms of the keys' bits, the highest first: whatever the numbers are.
template <typename T>
__forceinline__ Cut cut_by_bits(Team &team, BlockRoom &room, const Row<T> &row, unsigned k) {
  constexpr unsigned kEach = kCudaBins / kCudaThreads;
  unsigned known = 0, *bins = room.bins();  // the bits of the k-th largest key that are known
#pragma unroll 1
  for (int round = 0; round < 3; ++round) {
    const unsigned shift = round == 0 ? 21 : round == 1 ? 10 : 0, width = round == 2 ? 10 : 11, above = shift + width;
    for (unsigned bin = threadIdx.x; bin < kCudaBins; bin += kCudaThreads) bins[bin] = 0;
    sync_block();
    row.each([&](float x, unsigned) {
      const unsigned key = static_cast<unsigned>(key_of(x)) ^ 0x80000000u;
      if (round == 0 || key >> above == known >> above) atomicAdd(&bins[key >> shift & ((1u << width) - 1)], 1u);
    });
    sync_block();
    // The highest bins first.
    unsigned mine[kEach], sum = 0, all = 0;
    const unsigned top = kCudaBins - 1 - threadIdx.x * kEach;
#pragma unroll
    for (unsigned i = 0; i < kEach; ++i) sum += mine[i] = bins[top - i];
    unsigned before = team.before(sum, all);
#pragma unroll
    for (unsigned i = 0; i < kEach; ++i) {
      if (before < k && k <= before + mine[i]) {
        room.bin = top - i;
        room.left = k - before;
        room.count = mine[i];
      }
      before += mine[i];
    }
    sync_block();
    known |= room.bin << shift;
    k = room.left;
  }
  return Cut(static_cast<int>(known ^ 0x80000000u), k, k == room.count);
}

// The k largest in the row's order: chosen(place in the row, place among the chosen).
template <typename T, typename Chosen>
__forceinline__ void take_in_order(Team &team, const Row<T> &row, const Cut &cut, Chosen chosen) {
  constexpr unsigned kWide = Row<T>::kWide;
  unsigned largest = 0, ties = 0;  // above the cut, and equal to it, in the steps before
  for (unsigned begin = 0; begin < row.n; begin += kCudaThreads * kWide) {
    const unsigned first = begin + threadIdx.x * kWide;
    uint32_t above = 0, equal = 0;
#pragma unroll
    for (unsigned i = 0; i < kWide; ++i) {
      if (first + i >= row.n) continue;
      const float x = number(row.x[first + i]);
      above |= static_cast<uint32_t>(cut.above(x)) << i;
      equal |= static_cast<uint32_t>(cut.equal(x)) << i;
    }
    // Two counts in one number: a step has fewer than 2^16.
    unsigned all = 0;
    const unsigned before = team.before(count_bits(above) | count_bits(equal) << 16, all);
    const unsigned ties_before = ties + (before >> 16), left = cut.ties > ties_before ? cut.ties - ties_before : 0;
    while (static_cast<unsigned>(count_bits(equal)) > left) equal &= ~(0x80000000u >> leading_zeros(equal));
    unsigned at = largest + (before & 0xffff) + min(ties_before, cut.ties);
    for (uint32_t bits = above | equal; bits != 0; bits &= bits - 1) chosen(first + lowest_bit(bits), at++);
    largest += all & 0xffff;
    ties += all >> 16;
  }
}

template <typename T>
__forceinline__ void select_by_block(const CudaParams &p) {
  constexpr int kGroups = 4;
  BlockRoom &room = block_memory<BlockRoom>();
  Team team(room.team);
  const int64_t line = blockIdx.x;
  const Row<T> row{static_cast<const T *>(p.x) + line * p.n, p.n, p.aligned};

  // Groups' largest, the candidates that reach the k-th of them.
  float most[kGroups];
#pragma unroll
  for (float &each : most) each = bits_float(0x7fc00000u);
  row.each([&](float x, unsigned) {
    const float before = most[0];
#pragma unroll
    for (int group = 0; group + 1 < kGroups; ++group) most[group] = most[group + 1];
    most[kGroups - 1] = fmaxf(before, x);
  });
  if (threadIdx.x == 0) room.count = 0;
  const Bracket bracket = find_bracket<kGroups>(team, most, p.k, p.k + p.k / 32);
  sync_block();
  const Bound bound(bracket.low);
  row.each([&](float x, unsigned place) {
    if (!bound.reached_by(x)) return;
    const unsigned at = atomicAdd(&room.count, 1u);
    if (at < p.room) room.items[at] = item_of(key_of(x), place);
  });
  sync_block();
  unsigned count = room.count;
  if (count > p.room) {
    sync_block();
    const Cut cut = cut_by_bits(team, room, row, p.k);
    sync_block();
    if (p.k > p.room) {  // not to be sorted
      T *values = static_cast<T *>(p.values) + line * p.k;
      int64_t *indices = p.indices + line * p.k;
      take_in_order(team, row, cut, [&](unsigned place, unsigned at) {
        values[at] = row.x[place];
        indices[at] = place;
      });
      return;
    }
    count = p.k;
    take_in_order(team, row, cut,
                  [&](unsigned place, unsigned at) { room.items[at] = item_of(key_of(number(row.x[place])), place); });
    sync_block();
  }
  if (count <= kCudaMostOfWarp) {
    if (threadIdx.x >= kWarp) return;
    for (unsigned at = threadIdx.x; at < count; at += kWarp) room.places[at] = ~static_cast<unsigned>(room.items[at]);
    sync_warp();
    if (!rank<4>(row.x, p.n, room.places, count, bracket)) rank_by_items(row.x, room.places, count);
    if (!p.sorted) sort_places(room.places, p.k);
    put(p, row.x, line, threadIdx.x, kWarp, [&](unsigned at) { return room.places[at]; });
    return;
  }
  for (bool again = !p.sorted;; again = false) {
    unsigned size = 1;
    while (size < count) size *= 2;
    for (unsigned at = count + threadIdx.x; at < size; at += kCudaThreads) room.items[at] = kNoItem;
    sort_in_block(room.items, size);
    if (!again) break;
    count = p.k;
    // Then by place, ascending.
    for (unsigned at = threadIdx.x; at < count; at += kCudaThreads)
      room.items[at] = static_cast<unsigned>(room.items[at]);
  }
  put(p, row.x, line, threadIdx.x, kCudaThreads, [&](unsigned at) { return ~static_cast<unsigned>(room.items[at]); });
}

}  // namespace edgekit::sparse_topk
