// sparse_topk_attention on vectors of eight, see common/f32x8_avx2.h.
//
// The cells are chosen by the selection of common/select.h from their log-probabilities. A head's alive tokens are then
// taken in blocks, however its cells lie: the scores of a block, softmax with what came before (the sums so far are
// scaled to the largest score yet), and the weighted sum of the block's values.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "../common/exp.h"
#include "../common/fetch.h"
#include "../common/part.h"
#include "../common/select.h"
#include "sparse_topk_attention.h"

namespace edgekit::sparse_topk_attention {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The logarithms of softmax(scores). All are NaN where softmax is not defined.
template <typename Simd>
void log_softmax(const float *scores, int64_t count, float *to) {
  const int64_t whole = count / 8 * 8;
  const auto last = load_part<Simd>(scores + whole, count - whole, -kInfinity);
  auto most = last;
  for (int64_t place = 0; place < whole; place += 8) most = Simd::larger(most, Simd::load(scores + place));
  const auto largest = Simd::set(Simd::largest(most));
  auto sum = whole == count ? Simd::set(0) : exp<Simd>(Simd::sub(last, largest));
  for (int64_t place = 0; place < whole; place += 8)
    sum = Simd::add(sum, exp<Simd>(Simd::sub(Simd::load(scores + place), largest)));
  const auto logarithm = Simd::set(std::log(Simd::sum(sum)));
  for (int64_t place = 0; place < whole; place += 8)
    Simd::store(to + place, Simd::sub(Simd::sub(Simd::load(scores + place), largest), logarithm));
  float rest[8];
  Simd::store(rest, Simd::sub(Simd::sub(last, largest), logarithm));
  std::copy(rest, rest + (count - whole), to + whole);
}

template <typename Simd, typename Keys>
const int32_t *rank(const float *scores, int64_t heads, int64_t cells, int64_t stride, int64_t n, void *scratch) {
  Arena arena(scratch);
  float *logarithms = arena.take<float>(heads * cells);
  for (int64_t head = 0; head < heads; ++head)
    log_softmax<Simd>(scores + head * stride, cells, logarithms + head * cells);
  Selection<Keys> selection;
  selection.select(logarithms, heads * cells, n, arena);
  return selection.chosen;
}

constexpr int64_t kBlock = 64;

// A head's alive tokens, ascending, a block at a time.
template <typename Simd, typename T>
class Alive {
 public:
  explicit Alive(const Head<T> &head) : head_(head) {
    if (head.chosen == nullptr) end_ = head.tokens;
  }

  // Up to kBlock further tokens; gives how many, 0 at the end.
  int64_t next(int32_t *tokens) {
    int64_t count = 0;
    while (count < kBlock && (token_ < end_ || next_run())) {
      const int64_t taken = std::min(end_ - token_, kBlock - count);
      for (int64_t place = 0; place < taken; ++place) tokens[count++] = static_cast<int32_t>(token_++);
    }
    return count;
  }

 private:
  // The tokens of the next cell that has any.
  bool next_run() {
    if (head_.chosen == nullptr) return false;
    while (place_ < head_.count) {
      const int64_t cell = head_.chosen[place_++] - head_.first;
      token_ = edge(cell, head_.cells, head_.tokens);
      end_ = edge(cell + 1, head_.cells, head_.tokens);
      if (token_ < end_) return true;
    }
    return false;
  }

  const Head<T> &head_;
  int64_t token_ = 0, end_ = 0, place_ = 0;
};

// Asks memory for a block's rows: they lie scattered, and one after the other each would cost a wait.
template <typename T>
void fetch_rows(const T *numbers, int64_t size, const int32_t *tokens, int64_t count) {
  for (int64_t place = 0; place < count; ++place)
    fetch(numbers + tokens[place] * size, size * static_cast<int64_t>(sizeof(T)));
}

// q . k for the tokens of a block; -infinity after them, to a whole vector.
template <typename Simd, typename T>
void score(const Head<T> &head, const int32_t *tokens, int64_t count, float *scores) {
  const int64_t whole = head.size / 8 * 8, rest = head.size - whole;
  for (int64_t place = 0; place < count; place += 8) {
    const T *rows[8];
    for (int64_t lane = 0; lane < 8; ++lane)  // a token again where the block has no more
      rows[lane] = head.k + tokens[std::min(place + lane, count - 1)] * head.size;
    typename Simd::Floats sums[8];
    for (auto &sum : sums) sum = Simd::set(0);
    for (int64_t at = 0; at < whole; at += 8) {
      const auto q = Simd::load(head.q + at);
      for (int lane = 0; lane < 8; ++lane) sums[lane] = Simd::fma(Simd::load(rows[lane] + at), q, sums[lane]);
    }
    if (rest > 0) {
      const auto q = load_part<Simd>(head.q + whole, rest);
      for (int lane = 0; lane < 8; ++lane)
        sums[lane] = Simd::fma(load_part<Simd>(rows[lane] + whole, rest), q, sums[lane]);
    }
    Simd::store(scores + place, Simd::sums(sums));
  }
  if (head.k_scale != nullptr)
    for (int64_t place = 0; place < count; ++place) scores[place] *= head.k_scale[tokens[place]];
  std::fill(scores + count, scores + (count + 7) / 8 * 8, -kInfinity);
}

// sums = sums * before + weights . v, for kVectors * 8 numbers of each token from `at`.
template <typename Simd, int kVectors, typename T>
void accumulate(const Head<T> &head, int64_t at, const int32_t *tokens, const float *weights, int64_t count,
                float before, float *sums) {
  typename Simd::Floats totals[kVectors];
  for (int vector = 0; vector < kVectors; ++vector)
    totals[vector] = Simd::mul(Simd::load(sums + at + 8 * vector), Simd::set(before));
  for (int64_t place = 0; place < count; ++place) {
    const T *row = head.v + tokens[place] * head.size + at;
    const auto weight = Simd::set(weights[place]);
    for (int vector = 0; vector < kVectors; ++vector)
      totals[vector] = Simd::fma(Simd::load(row + 8 * vector), weight, totals[vector]);
  }
  for (int vector = 0; vector < kVectors; ++vector) Simd::store(sums + at + 8 * vector, totals[vector]);
}

template <typename Simd, typename T>
void mix(const Head<T> &head, const int32_t *tokens, const float *weights, int64_t count, float before, float *sums) {
  int64_t at = 0;
  for (; at + 64 <= head.size; at += 64) accumulate<Simd, 8>(head, at, tokens, weights, count, before, sums);
  for (; at + 16 <= head.size; at += 16) accumulate<Simd, 2>(head, at, tokens, weights, count, before, sums);
  for (; at + 8 <= head.size; at += 8) accumulate<Simd, 1>(head, at, tokens, weights, count, before, sums);
  if (at == head.size) return;
  auto total = Simd::mul(Simd::load(sums + at), Simd::set(before));
  for (int64_t place = 0; place < count; ++place) {
    const auto part = load_part<Simd>(head.v + tokens[place] * head.size + at, head.size - at);
    total = Simd::fma(part, Simd::set(weights[place]), total);
  }
  Simd::store(sums + at, total);
}

template <typename Simd, typename T>
void attend(const Head<T> &head, void *scratch) {
  float *sums = Arena(scratch).take<float>(head.size + 8);  // vectors are stored whole
  std::fill(sums, sums + head.size + 8, 0.0f);
  float largest = -kInfinity, sum = 0;
  alignas(64) int32_t tokens[kBlock];
  alignas(64) float weights[kBlock];
  Alive<Simd, T> alive(head);
  bool any = false;
  while (const int64_t count = alive.next(tokens)) {
    any = true;
    fetch_rows(head.k, head.size, tokens, count);
    fetch_rows(head.v, head.size, tokens, count);
    score<Simd>(head, tokens, count, weights);
    auto most = Simd::load(weights);
    for (int64_t place = 8; place < count; place += 8) most = Simd::larger(most, Simd::load(weights + place));
    const float before = largest;
    largest = std::max(largest, Simd::largest(most));
    const auto base = Simd::set(largest == -kInfinity ? 0 : largest);  // else -infinity - -infinity is NaN
    float scales[8];
    Simd::store(scales, exp<Simd>(Simd::sub(Simd::set(before), base)));
    auto total = Simd::set(0);
    for (int64_t place = 0; place < count; place += 8) {
      const auto weight = exp<Simd>(Simd::sub(Simd::load(weights + place), base));
      total = Simd::add(total, weight);
      Simd::store(weights + place, weight);
    }
    sum = sum * scales[0] + Simd::sum(total);
    if (head.v_scale != nullptr)
      for (int64_t place = 0; place < count; ++place) weights[place] *= head.v_scale[tokens[place]];
    mix<Simd>(head, tokens, weights, count, scales[0], sums);
  }
  // A head without tokens has attention 0; the sum of tokens that all weigh nothing gives NaN, as softmax does.
  const float g1 = head.gates[1], share = any ? g1 * head.gates[0] / sum : 0, rest = 1 - g1;
  for (int64_t place = 0; place < head.size; ++place) head.out[place] = share * sums[place] + rest * head.v_mean[place];
}

}  // namespace edgekit::sparse_topk_attention
