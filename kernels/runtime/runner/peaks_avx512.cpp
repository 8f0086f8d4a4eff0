// Peaks of AVX-512F.
#include <immintrin.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_avx512 {

int64_t fp32(int64_t rounds) {
  __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
  run_chains<12>(y, rounds, [&](__m512 sum) {
    EDGEKIT_OPAQUE(x);
    return _mm512_fmadd_ps(sum, x, y);
  });
  return rounds * 12 * 16 * 2;
}

float read(const float *from, size_t count) {
  __m512 sums[4] = {};
  for (size_t index = 0; index < count; index += 64)
    for (size_t part = 0; part < 4; ++part)
      sums[part] = _mm512_add_ps(sums[part], _mm512_load_ps(from + index + 16 * part));
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

void triad(float *to, const float *a, const float *b, float factor, size_t count) {
  const __m512 factors = _mm512_set1_ps(factor);
  for (size_t index = 0; index < count; index += 16)
    _mm512_store_ps(to + index, _mm512_fmadd_ps(_mm512_load_ps(b + index), factors, _mm512_load_ps(a + index)));
}

}  // namespace edgekit::peaks_avx512
