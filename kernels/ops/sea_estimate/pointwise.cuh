// What the estimator computes of single numbers and of rows that a warp takes, on a GPU.
#pragma once

#include "cuda/device.cuh"

namespace edgekit::sea_estimate {

constexpr float kLeastFeature = 1e-3f, kKeysEpsilon = 1e-6f, kNormEpsilon = 1e-5f;
// The convolutions' places lie this far apart, in rows and in columns; the oldest row is kHistory before its own.
constexpr int kDilation = 2, kHistory = 2 * kDilation;

inline float relu(float x) { return x < 0 ? 0.0f : x; }  // NaN stays
inline float feature(float x) { return relu(x) + kLeastFeature; }
inline float gelu(float x) { return 0.5f * x * (1 + erff(x * 0.70710678f)); }
inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// The layer norm of `count` numbers that a warp reads; the same in every lane.
struct Norm {
  float mean, scale;
  float operator()(float x, float weight, float bias) const { return (x - mean) * scale * weight + bias; }
};
inline Norm norm_of(const float *x, int count) {
  const int lane = static_cast<int>(threadIdx.x % cuda::kWarp);
  float sum = 0, squares = 0;
  for (int i = lane; i < count; i += static_cast<int>(cuda::kWarp)) sum += x[i];
  const float mean = cuda::sum_lanes(sum) / static_cast<float>(count);
  for (int i = lane; i < count; i += static_cast<int>(cuda::kWarp)) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1 / sqrtf(cuda::sum_lanes(squares) / static_cast<float>(count) + kNormEpsilon)};
}

}  // namespace edgekit::sea_estimate
