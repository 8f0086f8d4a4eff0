// Matrices times rows, on vectors of eight: up to three rows by four outputs in registers.
//
// An output is the sum of its eight lanes, whatever rows stand beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "../common/fetch.h"

namespace edgekit::sea_estimate {

// Four outputs of y = x weight^T + bias, with the biases twice.
template <typename Simd>
struct Outputs {
  int64_t in, out;  // numbers a row of x and of y
  const float *weight[4];
  typename Simd::Floats biases;
  int64_t count;  // the last ones are not stored if it is less than 4
};

// One or two rows' sums of four outputs each to `y`.
template <typename Simd>
void store_outputs(const Outputs<Simd> &outputs, typename Simd::Floats sums, bool two, float *y) {
  float lanes[8];
  Simd::store(lanes, Simd::add(sums, outputs.biases));
  if (outputs.count == 4) {  // one move
    std::memcpy(y, lanes, 4 * sizeof *y);
    if (two) std::memcpy(y + outputs.out, lanes + 4, 4 * sizeof *y);
    return;
  }
  for (int64_t output = 0; output < outputs.count; ++output) {
    y[output] = lanes[output];
    if (two) y[output + outputs.out] = lanes[output + 4];
  }
}

// The sums over whole vectors.
template <typename Simd, int kRows>
void multiply_rows(const Outputs<Simd> &outputs, const float *x, float *y) {
  using V = typename Simd::Floats;
  V sums[kRows][4];
  for (auto &row : sums)
    for (V &sum : row) sum = Simd::set(0);
  const int64_t in = outputs.in, whole = in / 8 * 8;
  for (int64_t at = 0; at < whole; at += 8) {
    V numbers[kRows];
    for (int row = 0; row < kRows; ++row) numbers[row] = Simd::load(x + row * in + at);
    for (int output = 0; output < 4; ++output) {
      const V weights = Simd::load(outputs.weight[output] + at);
      for (int row = 0; row < kRows; ++row) sums[row][output] = Simd::fma(numbers[row], weights, sums[row][output]);
    }
  }
  const auto &a = sums[0], &b = sums[kRows > 1 ? 1 : 0];
  const V pair[8] = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
  store_outputs(outputs, Simd::sums(pair), kRows > 1, y);
  if constexpr (kRows > 2) {
    const auto &c = sums[2];
    const V last[8] = {c[0], c[1], c[2], c[3], c[0], c[1], c[2], c[3]};
    store_outputs(outputs, Simd::sums(last), false, y + 2 * outputs.out);
  }
}

// y = x weight^T + bias: x rows x in, weight out x in, bias out or nullptr, y rows x out.
template <typename Simd>
void linear(const float *x, int64_t rows, int64_t in, const float *weight, const float *bias, int64_t out, float *y) {
  // Between steps the weights have left the cache: those of the outputs after the next are asked for in time.
  constexpr int64_t kAhead = 8;
  fetch(weight, std::min(kAhead, out) * in * sizeof *weight);
  for (int64_t first = 0; first < out; first += 4) {
    Outputs<Simd> outputs{in, out, {}, {}, std::min<int64_t>(4, out - first)};
    float biases[8];
    for (int64_t lane = 0; lane < 4; ++lane) {  // an output again where there are no more
      const int64_t output = first + std::min(lane, outputs.count - 1);
      outputs.weight[lane] = weight + output * in;
      biases[lane] = biases[lane + 4] = bias == nullptr ? 0.0f : bias[output];
    }
    outputs.biases = Simd::load(biases);
    const int64_t ahead = std::min(first + kAhead, out);
    fetch(weight + ahead * in, std::min<int64_t>(4, out - ahead) * in * sizeof *weight);
    int64_t row = 0;
    for (; row + 3 <= rows; row += 3) multiply_rows<Simd, 3>(outputs, x + row * in, y + row * out + first);
    if (rows - row == 2) multiply_rows<Simd, 2>(outputs, x + row * in, y + row * out + first);
    if (rows - row == 1) multiply_rows<Simd, 1>(outputs, x + row * in, y + row * out + first);
  }
  for (int64_t at = in / 8 * 8; at < in; ++at)
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t output = 0; output < out; ++output)
        y[row * out + output] += x[row * in + at] * weight[output * in + at];
}

}  // namespace edgekit::sea_estimate
