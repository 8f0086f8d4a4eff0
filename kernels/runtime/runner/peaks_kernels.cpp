#include "peaks_kernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace edgekit {
namespace {

bool always() { return true; }

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() { return __builtin_cpu_supports("avx512f"); }
bool has_avx512vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#if defined(EDGEKIT_HAS_AVXVNNI)
bool has_avxvnni() { return __builtin_cpu_supports("avxvnni"); }
#endif
#elif defined(__aarch64__)
// Bits of Linux's HWCAP (arch/arm64/include/uapi/asm/hwcap.h): ASIMDHP and ASIMDDP.
bool has_fp16() { return (getauxval(AT_HWCAP) & (1ul << 10)) != 0; }
bool has_dotprod() { return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; }
#endif

constexpr ComputeKernel kFp32[] = {
#if defined(__x86_64__)
    {"avx512f", has_avx512, peaks_avx512::fp32},
    {"avx2", has_avx2, peaks_avx2::fp32},
#elif defined(__aarch64__)
    {"neon", always, peaks_neon::fp32},
#endif
    {"scalar", always, peaks_scalar::fp32},
};

#if defined(__aarch64__)
constexpr ComputeKernel kFp16[] = {{"fp16", has_fp16, peaks_neon_fp16::fp16}};
#endif

constexpr ComputeKernel kInt8[] = {
#if defined(__x86_64__)
    {"avx512vnni", has_avx512vnni, peaks_avx512vnni::int8},
#if defined(EDGEKIT_HAS_AVXVNNI)
    {"avxvnni", has_avxvnni, peaks_avxvnni::int8},
#endif
    {"avx2", has_avx2, peaks_avx2::int8},
#elif defined(__aarch64__)
    {"dotprod", has_dotprod, peaks_neon_dotprod::int8},
    {"neon", always, peaks_neon::int8},
#endif
    {"scalar", always, peaks_scalar::int8},
};

constexpr StreamKernel kStream[] = {
#if defined(__x86_64__)
    {"avx512f", has_avx512, peaks_avx512::read, peaks_avx512::triad},
    {"avx2", has_avx2, peaks_avx2::read, peaks_avx2::triad},
#elif defined(__aarch64__)
    {"neon", always, peaks_neon::read, peaks_neon::triad},
#endif
    {"scalar", always, peaks_scalar::read, peaks_scalar::triad},
};

template <typename Kernel, size_t N>
const Kernel *best(const Kernel (&table)[N]) {
  for (const Kernel &kernel : table)
    if (kernel.available()) return &kernel;
  return nullptr;
}

}  // namespace

const ComputeKernel *fp32_kernel() { return best(kFp32); }

const ComputeKernel *fp16_kernel() {
#if defined(__aarch64__)
  return best(kFp16);
#else
  return nullptr;
#endif
}

const ComputeKernel *int8_kernel() { return best(kInt8); }

const StreamKernel *stream_kernel() { return best(kStream); }

}  // namespace edgekit
