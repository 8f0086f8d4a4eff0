// The fastest loops of each instruction set, for measuring what a CPU can do at most.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit {

// Multiplies and adds, on registers alone: gives how many operations `rounds` rounds were (a multiply-accumulate is two).
struct ComputeKernel {
  const char *isa;
  bool (*available)();
  int64_t (*run)(int64_t rounds);
};

// Passes over memory; `count` is a multiple of 64, and arrays are aligned to 64 bytes.
struct StreamKernel {
  const char *isa;
  bool (*available)();
  float (*read)(const float *from, size_t count);
  void (*triad)(float *to, const float *a, const float *b, float factor, size_t count);  // to = a + factor * b
};

// What this CPU has, the best first in each; nothing for half-precision where it is computed in fp32.
const ComputeKernel *fp32_kernel();
const ComputeKernel *fp16_kernel();
const ComputeKernel *int8_kernel();
const StreamKernel *stream_kernel();

// One file an instruction set has their bodies.
namespace peaks_scalar {
int64_t fp32(int64_t rounds);
int64_t int8(int64_t rounds);
float read(const float *from, size_t count);
void triad(float *to, const float *a, const float *b, float factor, size_t count);
}  // namespace peaks_scalar
#if defined(__x86_64__)
namespace peaks_avx2 {
int64_t fp32(int64_t rounds);
int64_t int8(int64_t rounds);
float read(const float *from, size_t count);
void triad(float *to, const float *a, const float *b, float factor, size_t count);
}  // namespace peaks_avx2
namespace peaks_avxvnni {
int64_t int8(int64_t rounds);
}
namespace peaks_avx512 {
int64_t fp32(int64_t rounds);
float read(const float *from, size_t count);
void triad(float *to, const float *a, const float *b, float factor, size_t count);
}  // namespace peaks_avx512
namespace peaks_avx512vnni {
int64_t int8(int64_t rounds);
}
#elif defined(__aarch64__)
namespace peaks_neon {
int64_t fp32(int64_t rounds);
int64_t int8(int64_t rounds);
float read(const float *from, size_t count);
void triad(float *to, const float *a, const float *b, float factor, size_t count);
}  // namespace peaks_neon
namespace peaks_neon_fp16 {
int64_t fp16(int64_t rounds);
}
namespace peaks_neon_dotprod {
int64_t int8(int64_t rounds);
}
#endif

}  // namespace edgekit

