// sparse_topk_attention on a GPU: a row's cells are chosen by a block, their tokens are dealt to warps.
//
// Choosing. A warp takes a head and computes its log-probabilities. Where the n largest end is found as select.cuh has
// it; of equal ones the first are taken. What is chosen becomes bits, then a list by head and cell.
//
// Attending. Cells of a row differ by one token at most. Every one is given as many positions as the widest has tokens,
// so that a position's cell is found by a division; head by head, the positions are cut into parts of equal length. A
// warp works through a part: `lanes` lanes hold a token's query, key and value, 32 / lanes tokens side by side, each
// group with softmax's sums of its own. What a part leaves of a head is added up in the order of parts.
#pragma once

#include "cells.h"
#include "cuda.h"
#include "cuda/device.cuh"
#include "cuda/select.cuh"

namespace edgekit::sparse_topk_attention {

using namespace edgekit::cuda;

// The least finite number, which scores are taken to be no less than; it keeps their differences from being NaN.
constexpr float kLowest = -3.402823466e38f, kLog2E = 1.44269504f;

// Numbers to choose from that a thread holds, for 3072 in all; in so many groups select.cuh's search begins.
template <unsigned kThreads>
constexpr int kNumbersOf = 3072 / kThreads;
template <unsigned kThreads>
constexpr int kGroupsOf = 512 / kThreads;

// Numbers as they come from memory, kPerLane of them.
struct Raw32 {
  float4 low, high;
};
template <typename T>
struct Stored;
template <>
struct Stored<float> {
  using Raw = Raw32;
  static constexpr int kAtOnce = 2;  // tokens of a group that are under way
};
template <>
struct Stored<uint16_t> {
  using Raw = uint4;
  static constexpr int kAtOnce = 4;
};
template <>
struct Stored<int8_t> {
  using Raw = uint2;
  static constexpr int kAtOnce = 4;
};

inline void widen(const Raw32 &raw, float (&to)[kPerLane]) {
  to[0] = raw.low.x, to[1] = raw.low.y, to[2] = raw.low.z, to[3] = raw.low.w;
  to[4] = raw.high.x, to[5] = raw.high.y, to[6] = raw.high.z, to[7] = raw.high.w;
}
inline void widen(const uint4 &raw, float (&to)[kPerLane]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
  for (int word = 0; word < 4; ++word) {
    to[2 * word] = half_to_float(static_cast<uint16_t>(words[word]));
    to[2 * word + 1] = half_to_float(static_cast<uint16_t>(words[word] >> 16));
  }
}
// Conversions from integers run at a quarter of the rate: 2^23 + 128 + quant is a float whose low byte is the quant's.
inline void widen(const uint2 &raw, float (&to)[kPerLane]) {
  const unsigned words[2] = {raw.x ^ 0x80808080u, raw.y ^ 0x80808080u};
  for (int place = 0; place < kPerLane; ++place)
    to[place] = bits_float(0x4b000000u | (words[place / 4] >> (8 * (place % 4)) & 0xff)) - 8388736.0f;
}

inline unsigned bits_of(float number) { return float_bits(number); }
inline unsigned bits_of(uint16_t number) { return number; }
inline unsigned bits_of(int8_t number) { return static_cast<uint8_t>(number); }

// kPerLane numbers from `from`, of which `left` are the row's, one by one; zeros after them.
template <typename T>
typename Stored<T>::Raw load_numbers(const void *from, int left) {
  using Raw = typename Stored<T>::Raw;
  constexpr int kWords = sizeof(Raw) / 4, kPerWord = 4 / sizeof(T);
  const T *numbers = static_cast<const T *>(from);
  alignas(Raw) unsigned words[kWords];
  for (int word = 0; word < kWords; ++word) {
    words[word] = 0;
    for (int part = 0; part < kPerWord; ++part)
      if (word * kPerWord + part < left)
        words[word] |= bits_of(numbers[word * kPerWord + part]) << (8 * static_cast<int>(sizeof(T)) * part);
  }
  return load_as<Raw>(words);
}

// What lanes load that have no token, or no number of it.
alignas(32) constexpr unsigned kZeros[8] = {};

// A head's log-probabilities, by one warp.
inline void rank_head(const float *scores, int cells, float *logarithms) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  float largest = -infinity(), sum = 0;
  for (int cell = lane; cell < cells; cell += kWarp) {
    logarithms[cell] = scores[cell];  // read again by this lane alone
    largest = fmaxf(largest, scores[cell]);
  }
  largest = largest_lane(largest);
  for (int cell = lane; cell < cells; cell += kWarp) sum += expf(logarithms[cell] - largest);
  const float logarithm = logf(sum_lanes(sum));
  for (int cell = lane; cell < cells; cell += kWarp) logarithms[cell] = logarithms[cell] - largest - logarithm;
}

// Where the n largest of `count` numbers in block memory end. What kEach registers of each thread do not hold is
// counted in memory.
template <int kEach, unsigned kThreads>
Cut find_cut_in(BlockTeam<kThreads> &team, const float *numbers, int count, int n) {
  const int thread = static_cast<int>(threadIdx.x);
  constexpr int kStep = static_cast<int>(kThreads);
  if (count <= kEach * kStep) {
    float mine[kEach];
#pragma unroll
    for (int place = 0; place < kEach; ++place) {
      const int index = place * kStep + thread;
      mine[place] = index < count ? numbers[index] : bits_float(0x7fc00000u);
    }
    return find_cut<kGroupsOf<kThreads>>(team, mine, static_cast<unsigned>(n));
  }
  const auto reaching = [&](const Bound &bound) {
    unsigned found = 0;
    for (int index = thread; index < count; index += kStep) found += bound.reached_by(numbers[index]);
    return static_cast<int>(team.sum(found));
  };
  int low = kNanKey, high = kInfinityKey, reach = count;
  while (low < high && reach > n) {
    const unsigned span = static_cast<unsigned>(high) - static_cast<unsigned>(low);
    const int middle = static_cast<int>(static_cast<unsigned>(low) + span / 2 + (span & 1));
    const int found = reaching(Bound(middle));
    if (found >= n) {
      low = middle;
      reach = found;
    } else {
      high = middle - 1;
    }
  }
  const Cut cut(low, static_cast<unsigned>(n), true);
  if (reach == n) return cut;
  return Cut(low, static_cast<unsigned>(n - reaching(cut.next)), false);
}

inline uint32_t lowest_bits(uint32_t bits, int count) {
  if (count >= count_bits(bits)) return bits;
  uint32_t kept = 0;
  for (; count > 0; --count) {
    const uint32_t lowest = bits & (0 - bits);
    kept |= lowest;
    bits ^= lowest;
  }
  return kept;
}

// A bit for each of the n largest of `count` numbers, and how many come before each word of bits, in block memory.
// Ties go to the first.
template <unsigned kThreads>
void select(uint32_t *words, const Layout &at, int count, int n) {
  constexpr int kWarps = static_cast<int>(kThreads / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp), warp = static_cast<int>(threadIdx.x / kWarp);
  const int mask_words = (count + 31) / 32;
  const float *numbers = reinterpret_cast<const float *>(words + at.ranking);
  uint32_t *chosen = words + at.chosen, *before = words + at.before;

  BlockTeam<kThreads> team(*reinterpret_cast<typename BlockTeam<kThreads>::Memory *>(words + at.team));
  const Cut cut = find_cut_in<kNumbersOf<kThreads>, kThreads>(team, numbers, count, n);
  for (int word = warp; word < mask_words; word += kWarps) {
    const int index = word * 32 + lane;
    const float number = index < count ? numbers[index] : 0;
    const uint32_t above = ballot(index < count && (cut.whole ? cut.reached_by(number) : cut.above(number)));
    const uint32_t equal = ballot(index < count && !cut.whole && cut.equal(number));
    if (lane == 0) {
      chosen[word] = above;
      before[word] = equal;
    }
  }
  sync_block();
  if (warp == 0) {
    WarpTeam lanes;
    unsigned equal_before = 0, chosen_before = 0;
    for (int base = 0; base < mask_words; base += 32) {
      const int word = base + lane;
      const uint32_t equal = word < mask_words ? before[word] : 0;
      unsigned total = 0;
      const unsigned taken = equal_before + lanes.before(static_cast<unsigned>(count_bits(equal)), total);
      equal_before += total;
      const uint32_t all = (word < mask_words ? chosen[word] : 0) |
                           lowest_bits(equal, cut.ties > taken ? static_cast<int>(cut.ties - taken) : 0);
      const unsigned to_here = chosen_before + lanes.before(static_cast<unsigned>(count_bits(all)), total);
      chosen_before += total;
      if (word < mask_words) {
        chosen[word] = all;
        before[word] = to_here;
      }
    }
  }
  sync_block();
}

// What a row attends to.
struct Choice {
  unsigned width;      // positions of an entry of the list
  unsigned positions;  // of all entries
};

// Chooses a row's cells. Entry i of the list, in block memory, is 2 * its first token + (whether it has a token less
// than `width`). Where a row chooses all cells, a head is one entry.
template <unsigned kThreads>
Choice choose(const CudaParams &p, const float *scores, int64_t stride, uint32_t tokens, uint32_t *words,
              const Layout &at) {
  constexpr int threads = static_cast<int>(kThreads), warps = static_cast<int>(kThreads / kWarp);
  const int thread = static_cast<int>(threadIdx.x), count = p.heads * p.cells;
  const uint32_t cells = static_cast<uint32_t>(p.cells);
  const int lane = thread % static_cast<int>(kWarp), warp = thread / static_cast<int>(kWarp);
  const int n = static_cast<int>(budget(static_cast<uint32_t>(p.heads), cells, tokens, p.k_budget));
  uint32_t *list = words + at.ranking, *first = words + at.first;
  if (n == count) {
    for (int head = thread; head <= p.heads; head += threads) {
      first[head] = static_cast<uint32_t>(head);
      if (head < p.heads) list[head] = 0;
    }
    sync_block();
    return {tokens, tokens * static_cast<uint32_t>(p.heads)};
  }

  float *logarithms = reinterpret_cast<float *>(list);  // which the list takes the place of
  for (int head = warp; head < p.heads; head += warps)
    rank_head(scores + head * stride, p.cells, logarithms + head * p.cells);
  sync_block();
  select<kThreads>(words, at, count, n);

  const uint32_t *chosen = words + at.chosen, *before = words + at.before;
  for (int word = warp; word < (count + 31) / 32; word += warps) {
    const uint32_t bits = chosen[word];
    if (bits >> lane & 1)
      list[before[word] + static_cast<uint32_t>(count_bits(bits & ((1u << lane) - 1)))] =
          static_cast<uint32_t>(word * 32 + lane);
  }
  for (int head = thread; head <= p.heads; head += threads) {
    const int index = head * p.cells, word = index / 32;
    first[head] = head == p.heads ? static_cast<uint32_t>(n)
                                  : before[word] + static_cast<uint32_t>(
                                                       count_bits(chosen[word] & ((1u << (index % 32)) - 1)));
  }
  sync_block();
  const uint32_t width = (tokens + cells - 1) / cells;
  for (int entry = thread; entry < n; entry += threads) {
    const uint32_t cell = list[entry] % cells, begin = edge(cell, cells, tokens), end = edge(cell + 1, cells, tokens);
    list[entry] = 2 * begin + (end - begin < width ? 1 : 0);
  }
  sync_block();
  return {width, static_cast<uint32_t>(n) * width};
}

// Positions of one part of `parts`.
inline unsigned part_length(unsigned positions, unsigned parts) {
  return ((positions + parts - 1) / parts + kDealt - 1) / kDealt * kDealt;
}

// Attention of one head of a row to the positions from `begin` to `end`, by one warp, to `partial`. Scores are in units
// of ln 2, so that powers of two are their exponentials. kWhole: numbers are loaded as vectors.
template <bool kWhole, typename T>
void attend_head(const CudaParams &p, int64_t row, int head, unsigned begin, unsigned end, unsigned width,
                 const uint32_t *list, float *partial) {
  constexpr int kAtOnce = kWhole ? Stored<T>::kAtOnce : 1;
  constexpr bool kScaled = sizeof(T) == 1;
  const unsigned lane = threadIdx.x % kWarp, lanes = static_cast<unsigned>(p.lanes), groups = kWarp / lanes;
  const unsigned group = lane / lanes;
  const int at = static_cast<int>(lane % lanes) * kPerLane, left = p.size - at;
  const int64_t first = static_cast<int64_t>(head) * p.capacity, number = first * p.size + at;
  // Bytes, and how far it is from a token to the next; a lane without numbers stays at zeros.
  const int stride = left > 0 ? p.size * static_cast<int>(sizeof(T)) : 0;
  const void *none = kZeros;
  const char *k = static_cast<const char *>(left > 0 ? static_cast<const T *>(p.k) + number : none);
  const char *v = static_cast<const char *>(left > 0 ? static_cast<const T *>(p.v) + number : none);
  const float *q = p.q + (static_cast<int64_t>(head) * p.rows + row) * p.size + at;
  float query[kPerLane], sums[kPerLane];
  if constexpr (kWhole) {
    widen(load_as<Raw32>(left > 0 ? static_cast<const void *>(q) : none), query);
  } else {
    for (int place = 0; place < kPerLane; ++place) query[place] = place < left ? q[place] : 0;
  }
  for (int place = 0; place < kPerLane; ++place) {
    query[place] *= kLog2E;
    sums[place] = 0;
  }
  float largest = kLowest, sum = 0;
  bool any_token = false;

  for (; begin < end; begin += kWarp) {
    const unsigned count = min(kWarp, end - begin);
    // A token a lane; -1 where a cell has none.
    int token = -1;
    float k_scale = 0, v_scale = 0;
    if (lane < count) {
      const unsigned entry = (begin + lane) / width, offset = begin + lane - entry * width;
      const uint32_t cell = list[entry];
      if (offset < width - (cell & 1)) {
        token = static_cast<int>((cell >> 1) + offset);
        if (kScaled) {
          k_scale = p.k_scale[first + token];
          v_scale = p.v_scale[first + token];
        }
      }
    }
    any_token |= any(token >= 0);
    for (unsigned done = 0; done < count; done += kAtOnce * groups) {
      typename Stored<T>::Raw keys[kAtOnce], values[kAtOnce];
      bool there[kAtOnce];
      for (int place = 0; place < kAtOnce; ++place) {
        const unsigned from = done + static_cast<unsigned>(place) * groups + group;
        const int mine = shuffle(token, from % kWarp);
        there[place] = mine >= 0 && from < kWarp;
        const int64_t bytes = static_cast<int64_t>(mine) * stride;
        const void *key = there[place] ? k + bytes : none, *value = there[place] ? v + bytes : none;
        if constexpr (kWhole) {
          keys[place] = load_as<typename Stored<T>::Raw>(key);
          values[place] = load_as<typename Stored<T>::Raw>(value);
        } else {
          keys[place] = load_numbers<T>(key, there[place] ? left : 0);
          values[place] = load_numbers<T>(value, there[place] ? left : 0);
        }
      }
      float score[kAtOnce];
      for (int place = 0; place < kAtOnce; ++place) {
        float key[kPerLane], product = 0;
        widen(keys[place], key);
        for (int each = 0; each < kPerLane; ++each) product += query[each] * key[each];
        score[place] = product;
      }
      for (unsigned mask = lanes / 2; mask > 0; mask /= 2)
        for (int place = 0; place < kAtOnce; ++place) score[place] += shuffle_xor(score[place], mask);
      const float largest_before = largest;
      for (int place = 0; place < kAtOnce; ++place) {
        if (kScaled) score[place] *= shuffle(k_scale, (done + static_cast<unsigned>(place) * groups + group) % kWarp);
        if (!there[place]) score[place] = -infinity();
        largest = fmaxf(largest, score[place]);
      }
      const float rescale = power_of_two(largest_before - largest);
      sum *= rescale;
      for (int each = 0; each < kPerLane; ++each) sums[each] *= rescale;
      for (int place = 0; place < kAtOnce; ++place) {
        float weight = power_of_two(score[place] - largest);
        sum += weight;
        if (kScaled) {
          const float scale = shuffle(v_scale, (done + static_cast<unsigned>(place) * groups + group) % kWarp);
          weight = there[place] ? weight * scale : 0;
        }
        float value[kPerLane];
        widen(values[place], value);
        for (int each = 0; each < kPerLane; ++each) sums[each] += weight * value[each];
      }
    }
  }

  // The groups' sums, scaled to the largest score of all.
  float most = largest;
  for (unsigned mask = lanes; mask < kWarp; mask *= 2) most = fmaxf(most, shuffle_xor(most, mask));
  const float scale = power_of_two(largest - most);
  sum *= scale;
  for (int each = 0; each < kPerLane; ++each) sums[each] *= scale;
  for (unsigned mask = lanes; mask < kWarp; mask *= 2) {
    sum += shuffle_xor(sum, mask);
    for (int each = 0; each < kPerLane; ++each) sums[each] += shuffle_xor(sums[each], mask);
  }
  if (group == 0)
    for (int each = 0; each < kPerLane; ++each)
      if (each < left) partial[at + each] = sums[each];
  if (lane == 0) {
    partial[p.size] = any_token ? most : -infinity();
    partial[p.size + 1] = sum;
  }
}

// One part of a row, by one warp.
template <typename T>
void attend_part(const CudaParams &p, int64_t row, const Choice &choice, unsigned part, unsigned length,
                 const uint32_t *words, const Layout &at, float *partials) {
  const uint32_t *list = words + at.ranking, *first = words + at.first;
  unsigned begin = part * length;
  const unsigned end = min(begin + length, choice.positions);
  int head = 0;
  while (begin < end) {
    const unsigned head_end = first[head + 1] * choice.width, stop = min(end, head_end);
    if (begin < stop) {
      float *partial = partials + (static_cast<int64_t>(part) + head) * partial_size(p.size);
      if (p.whole) {
        attend_head<true, T>(p, row, head, begin, stop, choice.width, list, partial);
      } else {
        attend_head<false, T>(p, row, head, begin, stop, choice.width, list, partial);
      }
      begin = stop;
    }
    ++head;
  }
}

// Adds up what the parts of a row left, and mixes it with the mean, by one block.
inline void merge(const CudaParams &p, int64_t row, const Choice &choice, unsigned length, const uint32_t *words,
                  const Layout &at, const float *partials) {
  const uint32_t *first = words + at.first;
  for (int index = static_cast<int>(threadIdx.x); index < p.heads * p.size; index += static_cast<int>(blockDim.x)) {
    const int head = index / p.size, place = index - head * p.size;
    const unsigned begin = first[head] * choice.width, end = first[head + 1] * choice.width;
    float attention = 0;
    if (begin < end) {
      const float *from = partials + (static_cast<int64_t>(begin / length) + head) * partial_size(p.size);
      const int count = static_cast<int>((end - 1) / length - begin / length) + 1;
      float largest = -infinity(), sum = 0, mixed = 0;
      for (int part = 0; part < count; ++part) largest = fmaxf(largest, from[part * partial_size(p.size) + p.size]);
      for (int part = 0; part < count; ++part) {
        const float *partial = from + part * partial_size(p.size);
        const float scale = power_of_two(partial[p.size] - largest);
        sum += scale * partial[p.size + 1];
        mixed += scale * partial[place];
      }
      if (largest != -infinity()) attention = mixed / sum;
    }
    const int64_t to = static_cast<int64_t>(head) * p.rows + row;
    const float g0 = p.gates[2 * to], g1 = p.gates[2 * to + 1];
    p.out[to * p.size + place] = g1 * g0 * attention + (1 - g1) * p.v_mean[to * p.size + place];
  }
}

// How many parts a row is cut into, for `warps` of them.
inline unsigned count_parts(unsigned positions, unsigned warps) {
  return min(warps, (positions + kDealt - 1) / kDealt);
}

// A block has a row to itself.
template <typename T>
void attend_row(const CudaParams &p) {
  const Layout at = make_layout(p.heads, p.cells, p.size, static_cast<int>(kRowThreads / kWarp));
  uint32_t *words = &block_memory<uint32_t>();
  float *partials = reinterpret_cast<float *>(words + at.partials);
  const int64_t row = blockIdx.x;
  const Choice choice =
      choose<kRowThreads>(p, p.scores + row * p.cells, p.rows * p.cells, p.start_pos + blockIdx.x + 1, words, at);
  const unsigned length = part_length(choice.positions, kRowThreads / kWarp);
  attend_part<T>(p, row, choice, threadIdx.x / kWarp, length, words, at, partials);
  sync_block();
  merge(p, row, choice, length, words, at, partials);
}

// The blocks of a column share a row: each chooses for itself, which costs less than to tell each other.
template <typename T, unsigned kThreads>
void attend_split_row(const CudaParams &p, int64_t row) {
  const Layout at = make_layout(p.heads, p.cells, p.size, 0);
  uint32_t *words = &block_memory<uint32_t>();
  const unsigned warps = gridDim.x * (kThreads / kWarp);
  float *partials = p.partials + row * partial_count(static_cast<int>(warps), p.heads) * partial_size(p.size);
  const Choice choice = choose<kThreads>(p, p.scores + row * p.cells, p.rows * p.cells,
                                         p.start_pos + static_cast<uint32_t>(row) + 1, words, at);
  const unsigned length = part_length(choice.positions, count_parts(choice.positions, warps));
  // Every block gets a part before any gets a second.
  attend_part<T>(p, row, choice, threadIdx.x / kWarp * gridDim.x + blockIdx.x, length, words, at, partials);
  if (last_block(p.arrived + row, gridDim.x)) merge(p, row, choice, length, words, at, partials);
}

}  // namespace edgekit::sparse_topk_attention
