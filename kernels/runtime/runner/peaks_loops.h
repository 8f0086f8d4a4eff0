// Loops that the files of the instruction sets share; each has its own copy, made with its own compiler options.
#pragma once

#include <cstddef>
#include <cstdint>

// Keeps the compiler from knowing what is in a register, so that no work of a loop is moved out of it.
#if defined(__aarch64__)
#define EDGEKIT_OPAQUE(vector) __asm__ volatile("" : "+w"(vector))
#elif defined(__AVX512F__)
#define EDGEKIT_OPAQUE(vector) __asm__ volatile("" : "+v"(vector))
#elif defined(__x86_64__)
#define EDGEKIT_OPAQUE(vector) __asm__ volatile("" : "+x"(vector))
#else
#define EDGEKIT_OPAQUE(vector) __asm__ volatile("" : "+m"(vector))
#endif

namespace edgekit {
namespace {

// Runs `step` on N sums of which none waits for another. N hides the latency of an instruction (4 or 5 cycles, on 2
// units), and N vectors fit the registers.
template <size_t N, typename Vector, typename Step>
inline void run_chains(Vector start, int64_t rounds, Step step) {
  Vector sums[N];
  for (Vector &sum : sums) sum = start;
  for (int64_t round = 0; round < rounds; ++round)
    for (Vector &sum : sums) sum = step(sum);
  for (Vector &sum : sums) EDGEKIT_OPAQUE(sum);
}

}  // namespace
}  // namespace edgekit
