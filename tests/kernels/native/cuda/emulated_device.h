// kernels/cuda/device.cuh for a CPU: threads are fibers that run one at a time, in a fixed order, from barrier to
// barrier. For tests: slow, exact about who waits for whom, and an error for a barrier that not all come to.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulator.h"

#define EDGEKIT_FIRST(first, ...) first
#define EDGEKIT_GPU_KERNEL(name, Params, ...)                                                              \
  static void name(const Params &p);                                                                       \
  static const ::edgekit::cuda::emulated::Kernel registered_##name(                                        \
      #name, sizeof(Params), EDGEKIT_FIRST(__VA_ARGS__, 0),                                                \
      [](const void *params) { name(*static_cast<const Params *>(params)); });                             \
  static void name(const Params &p)

#define __restrict__ __restrict
#define __forceinline__ inline

using ::edgekit::cuda::emulated::blockDim;
using ::edgekit::cuda::emulated::blockIdx;
using ::edgekit::cuda::emulated::gridDim;
using ::edgekit::cuda::emulated::threadIdx;

// CUDA's vectors, as far as kernels use them; aligned as they are there.
#define EDGEKIT_VECTORS(T, name)                                     \
  struct alignas(2 * sizeof(T)) name##2 {                            \
    T x, y;                                                          \
  };                                                                 \
  struct alignas(4 * sizeof(T)) name##4 {                            \
    T x, y, z, w;                                                    \
  };                                                                 \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }          \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EDGEKIT_VECTORS(float, float)
EDGEKIT_VECTORS(int, int)
EDGEKIT_VECTORS(unsigned, uint)
EDGEKIT_VECTORS(unsigned short, ushort)
EDGEKIT_VECTORS(signed char, char)

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmul_rn(float x, float y) { return x * y; }
template <typename T>
T __ldg(const T *from) {
  return *from;
}
template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}
// One thread runs at a time: nothing comes in between.
template <typename T>
T atomicAdd(T *to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
template <typename T>
T atomicMax(T *to, T value) {
  const T before = *to;
  *to = before < value ? value : before;
  return before;
}
template <typename T>
T atomicOr(T *to, T value) {
  const T before = *to;
  *to |= value;
  return before;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace edgekit::cuda {

constexpr unsigned kWarp = 32, kAllLanes = 0xffffffffu;

template <typename T>
T &block_memory() {
  return *static_cast<T *>(emulated::block_memory(sizeof(T)));
}

inline void sync_block() { emulated::meet_block(); }
inline void sync_warp() { emulated::meet_warp(); }
inline int count_in_block(bool mine) { return emulated::count_in_block(mine); }
inline bool any_in_block(bool mine) { return emulated::count_in_block(mine) > 0; }

template <typename Vector>
Vector load_as(const void *from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(Vector) != 0) emulated::fail("a vector's address is not aligned to it");
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename T>
T shuffle(T mine, unsigned lane) {
  static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &mine, sizeof mine);
  bits = emulated::exchange(bits, lane % kWarp);
  T other;
  std::memcpy(&other, &bits, sizeof other);
  return other;
}
inline unsigned lane_of_thread() { return threadIdx.x % kWarp; }
template <typename T>
T shuffle_xor(T mine, unsigned mask) {
  return shuffle(mine, lane_of_thread() ^ mask);
}
template <typename T>
T shuffle_up(T mine, unsigned by) {
  return shuffle(mine, lane_of_thread() >= by ? lane_of_thread() - by : lane_of_thread());
}
template <typename T>
T shuffle_down(T mine, unsigned by) {
  return shuffle(mine, lane_of_thread() + by < kWarp ? lane_of_thread() + by : lane_of_thread());
}
inline uint32_t ballot(bool mine) { return emulated::ballot(mine); }
inline bool any(bool mine) { return ballot(mine) != 0; }
inline bool all(bool mine) { return ballot(mine) == kAllLanes; }
inline uint32_t sum_warp(uint32_t mine) {
  for (unsigned mask = kWarp / 2; mask > 0; mask /= 2) mine += shuffle_xor(mine, mask);
  return mine;
}

inline int largest_in_warp(int mine) {
  for (unsigned mask = kWarp / 2; mask > 0; mask /= 2) mine = max(mine, shuffle_xor(mine, mask));
  return mine;
}

inline float half_to_float(uint16_t half) {
  _Float16 value;
  std::memcpy(&value, &half, sizeof value);
  return static_cast<float>(value);
}
inline uint16_t float_to_half(float value) {
  const auto half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

inline float power_of_two(float x) {
  const float value = std::exp2(x);
  return value < 1.17549435e-38f ? 0 : value;
}

struct GridBarrier {
  unsigned arrived, round;
};
inline void sync_grid(GridBarrier *barrier) { emulated::meet_grid(&barrier->arrived, &barrier->round); }

inline bool last_block(unsigned *arrived, unsigned count) {
  emulated::meet_block();
  bool last = false;
  if (threadIdx.x == 0) {
    last = ++*arrived == count;
    if (last) *arrived = 0;
  }
  return any_in_block(last);
}

inline unsigned float_bits(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float bits_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline int round_to_int(float value) { return static_cast<int>(std::nearbyint(value)); }
inline void count_if_reaches(unsigned &count, float x, float bound) { count += x >= bound; }
inline int count_bits(uint32_t bits) { return __builtin_popcount(bits); }
inline int leading_zeros(uint32_t bits) { return bits == 0 ? 32 : __builtin_clz(bits); }
inline int lowest_bit(uint32_t bits) { return __builtin_ctz(bits); }

}  // namespace edgekit::cuda
