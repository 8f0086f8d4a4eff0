// The kernels of conv2d: what is to be computed, by which algorithm, and one table for dispatch, tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::conv2d {

struct Shape {
  int64_t n, c, h, w;      // of the input
  int64_t o, kh, kw;       // of the weight
  int64_t pad_h, pad_w;    // zeros on both sides
  int64_t out_h, out_w;
};

struct Problem : Shape {
  const float *x, *weight, *bias;  // bias may be nullptr
  float activation;
  float *y;
};

enum class Algorithm { kDirect, kWinograd, kFft };

// How a convolution is computed; depends on its shape alone. The numbers are of the algorithm's own file.
struct Plan {
  Algorithm algorithm;
  // direct: a patch of the output has `rows` x `columns`. winograd: 8 * `columns` tiles at a time. fft: `tile` points.
  int64_t rows, columns, tile;
  size_t shared, per_thread;  // bytes of scratch: the weights made ready, and what each thread works in
};

Plan make_plan(const Shape &shape);

struct Kernels {
  Isa isa;
  void (*run)(const edgekit_context &context, const Problem &problem, const Plan &plan);
};

extern const Kernels kScalar;
#if defined(__x86_64__)
extern const Kernels kAvx2;
inline constexpr const Kernels *kTable[] = {&kAvx2, &kScalar};
#elif defined(__aarch64__)
extern const Kernels kNeon;
inline constexpr const Kernels *kTable[] = {&kNeon, &kScalar};
#else
inline constexpr const Kernels *kTable[] = {&kScalar};
#endif

}  // namespace edgekit::conv2d
