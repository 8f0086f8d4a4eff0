// Rows into a cache on a GPU, with the bits of the CPU's: for kv_append's kernel, and for one that goes on with them.
// Bound by memory: every number is read and written once (an int8 cache's are read twice, the second time from the
// cache).
//
// Some lanes of a warp take a row of k or v, as many as it has groups of four numbers: 16 where a head has 64, two rows
// a warp. Rows that are not aligned go number by number.
#pragma once

#include "cuda.h"
#include "cuda/device.cuh"

namespace edgekit::kv_append {

using namespace edgekit::cuda;

constexpr int kFloat32 = 0, kFloat16 = 1;

inline float widen(float x) { return x; }
inline float widen(uint16_t half) { return half_to_float(half); }

inline void convert(float from, float &to) { to = from; }
inline void convert(uint16_t from, uint16_t &to) { to = from; }
inline void convert(float from, uint16_t &to) { to = float_to_half(from); }
inline void convert(uint16_t from, float &to) { to = half_to_float(from); }

// kCount numbers that are moved at once.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T)) Numbers {
  T at[kCount];
};

// A lane's part of a row: every `lanes`-th group of kWide numbers from `lane` on.
template <typename From, typename To, int kWide>
__forceinline__ void copy(const From *row, To *cache, int64_t size, unsigned lane, unsigned lanes) {
  const auto *from = reinterpret_cast<const Numbers<From, kWide> *>(row);
  auto *to = reinterpret_cast<Numbers<To, kWide> *>(cache);
  for (int64_t i = lane; i < size / kWide; i += lanes) {
    const Numbers<From, kWide> some = from[i];
    Numbers<To, kWide> made;
#pragma unroll
    for (int j = 0; j < kWide; ++j) convert(some.at[j], made.at[j]);
    to[i] = made;
  }
}

// The same, to int8; gives the row's scale. A whole warp comes here, each of its rows' lanes for themselves.
template <typename From, int kWide>
__forceinline__ float quantize(const From *row, int8_t *cache, int64_t size, unsigned lane, unsigned lanes) {
  const auto *from = reinterpret_cast<const Numbers<From, kWide> *>(row);
  auto *to = reinterpret_cast<Numbers<int8_t, kWide> *>(cache);
  float most = 0;  // infinite where a number is that or NaN
  for (int64_t i = lane; i < size / kWide; i += lanes) {
    const Numbers<From, kWide> some = from[i];
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const float magnitude = fabsf(widen(some.at[j]));
      most = magnitude <= most ? most : magnitude < infinity() ? magnitude : infinity();
    }
  }
  for (unsigned mask = lanes / 2; mask > 0; mask /= 2) most = fmaxf(most, shuffle_xor(most, mask));
  const float scale = most < infinity() ? most / 127 : bits_float(0x7fc00000u);
  for (int64_t i = lane; i < size / kWide; i += lanes) {
    const Numbers<From, kWide> some = from[i];
    Numbers<int8_t, kWide> made;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      int quant = 0;
      if (scale > 0) {
        // A scale that is a denormal number is coarse: then a quotient may exceed 127.
        const float quotient = widen(some.at[j]) / scale;
        quant = round_to_int(fminf(fmaxf(quotient, -127.0f), 127.0f));
      }
      made.at[j] = static_cast<int8_t>(quant);
    }
    to[i] = made;
  }
  return scale;
}

// Rows of k, then of v; `item` counts both. `block` is this block's place among the grid's.
template <typename From, int kWide>
__forceinline__ void append(const CudaParams &p, unsigned block) {
  const unsigned lane = threadIdx.x % p.lanes, together = blockDim.x / p.lanes;
  const int64_t each = p.heads * p.rows, step = static_cast<int64_t>(together) * gridDim.x;
  // Where other lanes of the warp have a row and these have none, they come along with no numbers.
  for (int64_t first = static_cast<int64_t>(block) * together; first < 2 * each; first += step) {
    const int64_t item = first + threadIdx.x / p.lanes, row = item % each;
    const int64_t size = item < 2 * each ? p.size : 0;
    const bool of_v = item >= each;
    const int64_t at = row / p.rows * p.capacity + p.start_pos + row % p.rows;
    const From *from = static_cast<const From *>(of_v ? p.v : p.k) + row * p.size;
    void *cache = of_v ? p.v_cache : p.k_cache;
    if (p.to == kFloat32) {
      copy<From, float, kWide>(from, static_cast<float *>(cache) + at * p.size, size, lane, p.lanes);
    } else if (p.to == kFloat16) {
      copy<From, uint16_t, kWide>(from, static_cast<uint16_t *>(cache) + at * p.size, size, lane, p.lanes);
    } else {
      int8_t *to = static_cast<int8_t *>(cache) + at * p.size;
      const float scale = quantize<From, kWide>(from, to, size, lane, p.lanes);
      if (lane == 0 && size > 0) (of_v ? p.v_scale : p.k_scale)[at] = scale;
    }
  }
}

}  // namespace edgekit::kv_append
