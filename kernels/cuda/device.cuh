// What kernels for a GPU are written with. Everything that a kernel uses of the GPU comes from here, so that the same
// sources also run on the twin of this file, an emulation on the CPU (tests/kernels/native/cuda/emulated_device.h).
//
//   EDGEKIT_GPU_KERNEL(name, Params, threads) { ... p ... }   a kernel: blocks of at most `threads`, one argument
//                                                             by value
//   EDGEKIT_GPU_KERNEL(name, Params, threads, blocks)         ... with registers for that many blocks at once
//   threadIdx.x, blockIdx.x/.y, blockDim.x, gridDim.x/.y      where a thread is; block_memory<T>() is its block's T
//   sync_block(), sync_warp(), sync_grid(barrier)             barriers; all threads come to them
//   shuffle(v, lane), shuffle_xor, shuffle_up, shuffle_down, ballot, any, all, sum_warp(uint32_t),
//   largest_in_warp(int)                                      by whole warps
//   power_of_two(x)                                           quick
//   load_as<Vector>(p)                                        a vector from memory of another type
//   half_to_float, float_to_half                              halves are their bits, uint16_t
//
// Functions are the device's without saying so (NVRTC's --device-as-default-execution-space).
//
// Kernels of one launch take their block's memory from the launch (Shape::shared_bytes) and never declare __shared__:
// blocks of a cooperative launch are alive together in the emulation as well.
#pragma once

#include "types.h"

#ifdef EDGEKIT_EMULATED_GPU
#include "emulated_device.h"
#else

#define EDGEKIT_GPU_KERNEL(name, Params, ...) \
  extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name(const __grid_constant__ Params p)

namespace edgekit::cuda {

template <typename T>
T &block_memory() {
  extern __shared__ __align__(16) unsigned char edgekit_block_memory[];
  return *reinterpret_cast<T *>(edgekit_block_memory);
}

constexpr unsigned kWarp = 32, kAllLanes = 0xffffffffu;

inline void sync_block() { __syncthreads(); }
inline void sync_warp() { __syncwarp(); }
// A vector (uint4, float4, ...) from memory that is aligned to it, whatever lies there.
template <typename Vector>
Vector load_as(const void *from) {
  return *static_cast<const Vector *>(from);
}

// What the threads of a block before a barrier have in common: whether one of them, and how many, say so.
inline bool any_in_block(bool mine) { return __syncthreads_or(mine) != 0; }
inline int count_in_block(bool mine) { return __syncthreads_count(mine); }

template <typename T>
T shuffle(T mine, unsigned lane) {
  return __shfl_sync(kAllLanes, mine, lane);
}
template <typename T>
T shuffle_xor(T mine, unsigned mask) {
  return __shfl_xor_sync(kAllLanes, mine, mask);
}
// The lanes that have no one `by` below or above them keep their own.
template <typename T>
T shuffle_up(T mine, unsigned by) {
  return __shfl_up_sync(kAllLanes, mine, by);
}
template <typename T>
T shuffle_down(T mine, unsigned by) {
  return __shfl_down_sync(kAllLanes, mine, by);
}
inline uint32_t ballot(bool mine) { return __ballot_sync(kAllLanes, mine); }
inline bool any(bool mine) { return __any_sync(kAllLanes, mine) != 0; }
inline bool all(bool mine) { return __all_sync(kAllLanes, mine) != 0; }
inline uint32_t sum_warp(uint32_t mine) { return __reduce_add_sync(kAllLanes, mine); }
inline int largest_in_warp(int mine) { return __reduce_max_sync(kAllLanes, mine); }

inline float half_to_float(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}
inline uint16_t float_to_half(float value) {
  uint16_t half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}

// 2^x with an error of 2 units in the last place; what would be a denormal number is 0.
inline float power_of_two(float x) {
  float value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}

// Where the blocks of a cooperative launch meet; cleared before it.
struct GridBarrier {
  unsigned arrived, round;
};
// All threads of all blocks wait for each other, and see what the others wrote.
inline void sync_grid(GridBarrier *barrier) {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile unsigned *round = &barrier->round;
    const unsigned before = *round, blocks = gridDim.x * gridDim.y * gridDim.z;
    __threadfence();
    if (atomicAdd(&barrier->arrived, 1u) == blocks - 1) {
      barrier->arrived = 0;
      __threadfence();
      *round = before + 1;
    } else {
      while (*round == before) {
      }
    }
    __threadfence();
  }
  __syncthreads();
}

// Whether this block is the last of `count` to come here; it then sees what the others wrote before. `arrived` is 0
// before the first comes and after the last has.
inline bool last_block(unsigned *arrived, unsigned count) {
  __threadfence();
  __syncthreads();
  bool last = false;
  if (threadIdx.x == 0) {
    last = atomicAdd(arrived, 1u) == count - 1;
    if (last) *arrived = 0;
  }
  last = __syncthreads_or(last) != 0;
  __threadfence();
  return last;
}

inline unsigned float_bits(float value) { return __float_as_uint(value); }
inline float bits_float(unsigned bits) { return __uint_as_float(bits); }
// To nearest, ties to even.
inline int round_to_int(float value) { return __float2int_rn(value); }
// Adds one where x is `bound` or more, in two instructions.
inline void count_if_reaches(unsigned &count, float x, float bound) {
  asm("{ .reg .pred p; setp.ge.f32 p, %1, %2; @p add.u32 %0, %0, 1; }" : "+r"(count) : "f"(x), "f"(bound));
}
inline int count_bits(uint32_t bits) { return __popc(bits); }
inline int leading_zeros(uint32_t bits) { return __clz(bits); }
// The lowest set bit's place, from 0; bits is not 0.
inline int lowest_bit(uint32_t bits) { return __ffs(bits) - 1; }

}  // namespace edgekit::cuda
#endif

namespace edgekit::cuda {

inline float infinity() {
  return bits_float(0x7f800000u);
}

// The sum of a warp's numbers, in every lane; the same bits in each.
template <typename T>
T sum_lanes(T value) {
  for (unsigned mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

template <typename T>
T largest_lane(T value) {
  for (unsigned mask = kWarp / 2; mask > 0; mask /= 2) {
    const T other = shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace edgekit::cuda
