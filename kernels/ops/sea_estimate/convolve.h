// Sums over channels, rows and columns, on vectors of eight: up to six outputs by two vectors of columns in registers.
#pragma once

#include <cstdint>

#include "sea_estimate.h"

namespace edgekit::sea_estimate {

constexpr int64_t kOutputs = 6, kColumns = 16;  // at once

// What a sum goes over: kTimes rows and kPlaces columns of every channel.
template <int kTimes, int kPlaces>
struct Window {
  const float *input;    // the first channel, the oldest row, the first column of the outputs
  int64_t channels;
  int64_t pitch;         // from channel to channel
  int64_t row;           // from time to time
  const float *weight;   // outputs x channels x kTimes x kPlaces
  const float *bias;     // one an output, or nullptr
};

// Calls store(output, column, numbers) for `count` outputs from `first`, at most kCount, and one or two vectors of
// columns.
template <typename Simd, int kCount = kOutputs, int kTimes, int kPlaces, typename Store>
void convolve(const Window<kTimes, kPlaces> &window, int64_t first, int64_t count, bool two, const Store &store) {
  using V = typename Simd::Floats;
  if constexpr (kCount > 1) {
    if (count < kCount) return convolve<Simd, kCount - 1>(window, first, count, two, store);
  }
  const int64_t size = window.channels * kTimes * kPlaces, second = two ? 8 : 0;
  V sums[kCount][2];
  for (int output = 0; output < kCount; ++output)
    sums[output][0] = sums[output][1] = Simd::set(window.bias == nullptr ? 0.0f : window.bias[first + output]);
  const float *weight = window.weight + first * size, *input = window.input;
  for (int64_t channel = 0; channel < window.channels; ++channel, input += window.pitch) {
    for (int time = 0; time < kTimes; ++time) {
      for (int place = 0; place < kPlaces; ++place, ++weight) {
        const float *from = input + time * window.row + (place - kPlaces / 2) * kDilation;
        const V left = Simd::load(from), right = Simd::load(from + second);
        for (int output = 0; output < kCount; ++output) {
          const V factor = Simd::set(weight[output * size]);
          sums[output][0] = Simd::fma(left, factor, sums[output][0]);
          sums[output][1] = Simd::fma(right, factor, sums[output][1]);
        }
      }
    }
  }
  for (int output = 0; output < kCount; ++output) {
    store(first + output, 0, sums[output][0]);
    if (two) store(first + output, 8, sums[output][1]);
  }
}

}  // namespace edgekit::sea_estimate
