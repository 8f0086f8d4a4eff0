// The kernels of sea_estimate: what is to be computed, and one table for dispatch, tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::sea_estimate {

// Rows that are worked on at once; scratch has room for no more.
constexpr int64_t kBlock = 24;
// The convolutions' places lie this far apart, in rows and in columns; the oldest row is kHistory before its own.
constexpr int64_t kDilation = 2, kHistory = 2 * kDilation;

constexpr float kLeastFeature = 1e-3f, kKeysEpsilon = 1e-6f, kNormEpsilon = 1e-5f;

struct Problem {
  const edgekit_sea_weights &weights;
  const edgekit_sea_state &state;
  const float *q, *k, *v;
  int64_t rows, start_pos;
  float *scores, *gates, *v_mean;

  int64_t channels() const { return 2 * weights.heads; }
  // The place of a token's row in the state of a convolution; the token may be one of those before token 0.
  int64_t place(int64_t token) const { return (token + kHistory) % kHistory; }
};

// The rows of the convolutions' inputs on vectors: zeros to the left and right, so that a sum has no edges.
constexpr int64_t kMargin = 4;
constexpr int64_t whole_vectors(int64_t count) { return (count + 7) / 8 * 8; }
constexpr int64_t pitch(int64_t width) { return whole_vectors(width) + 2 * kMargin; }

struct Kernels {
  Isa isa;
  // The context has scratch for the problem's rows.
  void (*run)(const edgekit_context &context, const Problem &problem);
};

EDGEKIT_KERNEL_TABLE(Kernels);

// What may be asked of the operator, wherever it runs; not of map_start's numbers, which may lie on a GPU.
edgekit_status check_sizes(const edgekit_sea_weights &weights, int64_t rows, int64_t start_pos);
// The same, and of map_start's numbers, which the CPU reads.
edgekit_status check(const edgekit_sea_weights &weights, int64_t rows, int64_t start_pos);

// Bytes of scratch for so many rows that all threads share, and that each has for itself.
size_t shared_scratch(const edgekit_sea_weights &weights, int64_t rows);
size_t thread_scratch(const edgekit_sea_weights &weights, int64_t rows);

}  // namespace edgekit::sea_estimate
