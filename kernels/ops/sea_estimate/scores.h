// From the second convolution's channels to the scores of a row: heads, cells and their norm. Eight heads lie in the
// lanes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../common/part.h"
#include "../common/work.h"
#include "convolve.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {

constexpr int64_t kLanes = 8;

// The cells of eight heads, `from` width x 8, to `to` cells x 8, normalized.
template <typename Simd>
void map_cells(const edgekit_sea_weights &w, const float *from, typename Simd::Floats bias, float *to) {
  using V = typename Simd::Floats;
  const auto cell = [&](int64_t k) {
    const float *weight = w.map_weight + k * w.taps, *place = from + w.map_start[k] * kLanes;
    V sum = bias;
    for (int64_t tap = 0; tap < w.taps; ++tap)
      sum = Simd::fma(Simd::set(weight[tap]), Simd::load(place + tap * kLanes), sum);
    Simd::store(to + k * kLanes, sum);
    return sum;
  };
  const auto square = [&](int64_t k, V mean, V sum) {
    const V distance = Simd::sub(Simd::load(to + k * kLanes), mean);
    return Simd::fma(distance, distance, sum);
  };
  // Four sums at once: each waits for its last addition.
  constexpr int kSums = 4;
  const int64_t whole = w.cells / kSums * kSums;
  const V zero = Simd::set(0), size = Simd::set(static_cast<float>(w.cells));
  const auto together = [](const V (&sums)[kSums]) {
    return Simd::add(Simd::add(sums[0], sums[1]), Simd::add(sums[2], sums[3]));
  };
  V sums[kSums] = {zero, zero, zero, zero}, squares[kSums] = {zero, zero, zero, zero};
  for (int64_t k = 0; k < whole; k += kSums)
    for (int i = 0; i < kSums; ++i) sums[i] = Simd::add(sums[i], cell(k + i));
  for (int64_t k = whole; k < w.cells; ++k) sums[0] = Simd::add(sums[0], cell(k));
  const V mean = Simd::div(together(sums), size);
  for (int64_t k = 0; k < whole; k += kSums)
    for (int i = 0; i < kSums; ++i) squares[i] = square(k + i, mean, squares[i]);
  for (int64_t k = whole; k < w.cells; ++k) squares[0] = square(k, mean, squares[0]);
  float lanes[kLanes];
  Simd::store(lanes, Simd::div(together(squares), size));
  for (float &lane : lanes) lane = 1.0f / std::sqrt(lane + kNormEpsilon);
  const V scale = Simd::load(lanes);
  for (int64_t k = 0; k < w.cells; ++k) {
    const V normal = Simd::mul(Simd::sub(Simd::load(to + k * kLanes), mean), scale);
    const V weight = Simd::set(w.score_norm_weight[k]), shift = Simd::set(w.score_norm_bias[k]);
    Simd::store(to + k * kLanes, Simd::fma(normal, weight, shift));
  }
}

// Eight rows of `from`, `stride` apart, `count` of them; the last again where there are no more. Rows to columns.
template <typename Simd>
void load_transposed(const float *from, int64_t stride, int64_t count, typename Simd::Floats (&block)[kLanes]) {
  for (int64_t lane = 0; lane < kLanes; ++lane) block[lane] = Simd::load(from + std::min(lane, count - 1) * stride);
  Simd::transpose(block);
}

// The scores of a row from its channels, which lie whole_vectors(width) apart; a head's go to scores + head * stride.
template <typename Simd>
void score(const edgekit_sea_weights &w, const float *channels, float *scores, int64_t stride, void *scratch) {
  using V = typename Simd::Floats;
  const int64_t width = whole_vectors(w.width);
  Arena arena(scratch);
  float *mixed = arena.take<float>(w.heads * width), *places = arena.take<float>(width * kLanes);
  float *cells = arena.take<float>(whole_vectors(w.cells) * kLanes);
  for (int64_t head = 0; head < w.heads; head += kOutputs) {
    for (int64_t column = 0; column < width; column += kColumns) {
      const Window<1, 1> window{channels + column, 2 * w.heads, width, 0, w.mix_weight, nullptr};
      float *to = mixed + column;
      convolve<Simd>(window, head, std::min(kOutputs, w.heads - head), column + 8 < width,
                     [&](int64_t output, int64_t at, V sum) { Simd::store(to + output * width + at, sum); });
    }
  }
  for (int64_t first = 0; first < w.heads; first += kLanes) {
    const int64_t count = std::min(kLanes, w.heads - first);
    V block[kLanes];
    for (int64_t at = 0; at < width; at += kLanes) {
      load_transposed<Simd>(mixed + first * width + at, width, count, block);
      for (int64_t lane = 0; lane < kLanes; ++lane) Simd::store(places + (at + lane) * kLanes, block[lane]);
    }
    const V bias = count == kLanes ? Simd::load(w.mix_bias + first) : load_part<Simd>(w.mix_bias + first, count);
    map_cells<Simd>(w, places, bias, cells);
    for (int64_t at = 0; at < w.cells; at += kLanes) {
      load_transposed<Simd>(cells + at * kLanes, kLanes, kLanes, block);
      for (int64_t lane = 0; lane < count; ++lane)
        store_part<Simd>(scores + (first + lane) * stride + at, block[lane], w.cells - at);
    }
  }
}

}  // namespace edgekit::sea_estimate
