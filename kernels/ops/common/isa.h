// Instruction sets: which there are, which this CPU has, which is in use.
#pragma once

#include "edgekit/ops.h"

namespace edgekit {

enum class Isa { kScalar, kAvx2, kNeon };

// The instruction set in use; false if EDGEKIT_ISA asks for one that is not there (the error is set).
bool active_isa(Isa &isa);

// The kernels of the instruction set in use, from an operator's table; nullptr (the error is set) if there is none.
//
// A table lists kernels of one type with a member `isa`, one per instruction set of this build.
template <typename Kernels, size_t N>
const Kernels *find_kernels(const Kernels *const (&table)[N]) {
  Isa isa;
  if (!active_isa(isa)) return nullptr;
  for (const Kernels *kernels : table)
    if (kernels->isa == isa) return kernels;
  return nullptr;
}

}  // namespace edgekit

// Declares an operator's kernels, one of type `Kernels` for each instruction set that this build has, and kTable, which
// lists them, the best first.
#if defined(__x86_64__)
#define EDGEKIT_KERNEL_TABLE(Kernels)  \
  extern const Kernels kScalar, kAvx2; \
  inline constexpr const Kernels *kTable[] = {&kAvx2, &kScalar}
#elif defined(__aarch64__)
#define EDGEKIT_KERNEL_TABLE(Kernels)  \
  extern const Kernels kScalar, kNeon; \
  inline constexpr const Kernels *kTable[] = {&kNeon, &kScalar}
#else
#define EDGEKIT_KERNEL_TABLE(Kernels) \
  extern const Kernels kScalar;       \
  inline constexpr const Kernels *kTable[] = {&kScalar}
#endif
