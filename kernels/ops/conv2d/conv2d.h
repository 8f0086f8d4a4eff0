// The kernels of conv2d: what is to be computed, by which algorithm, and one table for dispatch, tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::conv2d {

struct Shape {
  int64_t n, c, h, w;      // of the input
  int64_t o, kh, kw;       // of the weight
  int64_t pad_h, pad_w;  // zeros on both sides
  int64_t out_h, out_w;
};

struct Problem : Shape {
  const float *x, *weight, *bias;  // bias may be nullptr
  float activation;
  float *y;
};

enum class Algorithm { kDirect, kWinograd, kFft };

// How a convolution is computed; depends on its shape alone.
struct Plan {
  Algorithm algorithm;
  int64_t rows, columns;      // direct: of a patch of the output, at most; columns are a multiple of 8
  int64_t tiles;              // fft: how many a thread works on at once (winograd: strips of them),
  bool by_groups;             // or, instead, all tiles and eight channels of the output at once
  size_t shared, per_thread;  // bytes of scratch: the weights made ready, and what each thread works in
};

// Multiplications that are worth a thread's wakening.
constexpr int64_t kGrain = 65536;
// Channels of the output that the direct kernel computes at once.
constexpr int64_t kDirectGroup = 4;

// Fourier transforms: tiles of 32 x 32, of which 17 x 32 frequencies are kept. A line is a complex number of eight
// channels: eight real parts, eight imaginary parts.
constexpr int64_t kTile = 32, kHalf = kTile / 2 + 1, kFrequencies = kHalf * kTile;
constexpr int64_t kLine = 16, kImaginary = 8;
constexpr int64_t kTilesAtOnce = 6;      // in the inner loop
constexpr int64_t kChannelsAtOnce = 32;  // of the input, whose weights' spectra should stay in the cache

// Floats from one frequency to the next, for so many lines at each: an odd number of lines, or they would all fall on
// the same few places of the caches.
constexpr int64_t spectrum_stride(int64_t lines) { return (lines | 1) * kLine; }

// Winograd: the points of a tile, the columns of a strip of tiles with room for whole vectors, and its floats.
constexpr int64_t kWinogradPoints = 36;
constexpr int64_t winograd_columns(int64_t across) { return (4 * across + 2 + 7) / 8 * 8; }
constexpr int64_t winograd_strip(int64_t across) { return 8 * 8 * winograd_columns(across); }

struct Kernels {
  Isa isa;
  void (*run)(const edgekit_context &context, const Problem &problem, const Plan &plan);
};

EDGEKIT_KERNEL_TABLE(Kernels);

}  // namespace edgekit::conv2d
