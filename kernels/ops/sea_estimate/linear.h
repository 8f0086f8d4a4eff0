// Matrices times rows, on vectors of eight: two rows by four outputs in registers.
//
// An output is the sum of its eight lanes, whatever rows stand beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "../common/part.h"

namespace edgekit::sea_estimate {

// y = x weight^T + bias: x rows x in, weight out x in, bias out or nullptr, y rows x out.
template <typename Simd>
void linear(const float *x, int64_t rows, int64_t in, const float *weight, const float *bias, int64_t out, float *y) {
  using V = typename Simd::Floats;
  const int64_t whole = in / 8 * 8, rest = in - whole;
  for (int64_t first = 0; first < out; first += 4) {
    const int64_t count = std::min<int64_t>(4, out - first);
    const float *w[4];
    float biases[8];
    for (int64_t lane = 0; lane < 4; ++lane) {  // an output again where there are no more
      const int64_t output = first + std::min(lane, count - 1);
      w[lane] = weight + output * in;
      biases[lane] = biases[lane + 4] = bias == nullptr ? 0.0f : bias[output];
    }
    for (int64_t row = 0; row < rows; row += 2) {
      const float *a = x + row * in, *b = row + 1 < rows ? a + in : a;
      V sums[8];
      for (V &sum : sums) sum = Simd::set(0);
      for (int64_t at = 0; at < whole; at += 8) {
        const V left = Simd::load(a + at), right = Simd::load(b + at);
        for (int lane = 0; lane < 4; ++lane) {
          const V numbers = Simd::load(w[lane] + at);
          sums[lane] = Simd::fma(left, numbers, sums[lane]);
          sums[lane + 4] = Simd::fma(right, numbers, sums[lane + 4]);
        }
      }
      if (rest > 0) {
        const V left = load_part<Simd>(a + whole, rest), right = load_part<Simd>(b + whole, rest);
        for (int lane = 0; lane < 4; ++lane) {
          const V numbers = load_part<Simd>(w[lane] + whole, rest);
          sums[lane] = Simd::fma(left, numbers, sums[lane]);
          sums[lane + 4] = Simd::fma(right, numbers, sums[lane + 4]);
        }
      }
      float lanes[8];
      Simd::store(lanes, Simd::add(Simd::sums(sums), Simd::load(biases)));
      float *to = y + row * out + first;
      if (count == 4) {
        std::memcpy(to, lanes, 4 * sizeof *to);
        if (row + 1 < rows) std::memcpy(to + out, lanes + 4, 4 * sizeof *to);
        continue;
      }
      for (int64_t lane = 0; lane < count; ++lane) {
        to[lane] = lanes[lane];
        if (row + 1 < rows) to[out + lane] = lanes[lane + 4];
      }
    }
  }
}

}  // namespace edgekit::sea_estimate
