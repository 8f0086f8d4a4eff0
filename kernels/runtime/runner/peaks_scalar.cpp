// Peaks without vector instructions of a known kind: what the compiler makes of plain loops.
#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_scalar {

int64_t fp32(int64_t rounds) {
  float x = 0.999f;
  run_chains<8>(1e-3f, rounds, [&](float sum) {
    EDGEKIT_OPAQUE(x);
    return sum * x + 1e-3f;
  });
  return rounds * 8 * 2;
}

int64_t int8(int64_t rounds) {
  int8_t x[2] = {3, 5};
  int32_t sums[8] = {};
  for (int64_t round = 0; round < rounds; ++round) {
    __asm__ volatile("" : "+m"(x));
    for (int32_t &sum : sums) sum += x[0] * x[1];
  }
  __asm__ volatile("" : : "m"(sums));
  return rounds * 8 * 2;
}

float read(const float *from, size_t count) {
  float sums[8] = {};
  for (size_t index = 0; index < count; index += 8)
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += from[index + lane];
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

void triad(float *to, const float *a, const float *b, float factor, size_t count) {
  for (size_t index = 0; index < count; ++index) to[index] = a[index] + factor * b[index];
}

}  // namespace edgekit::peaks_scalar
