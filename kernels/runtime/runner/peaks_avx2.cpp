// Peaks of AVX2 and FMA.
#include <immintrin.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_avx2 {

int64_t fp32(int64_t rounds) {
  __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
  run_chains<12>(y, rounds, [&](__m256 sum) {
    EDGEKIT_OPAQUE(x);
    return _mm256_fmadd_ps(sum, x, y);
  });
  return rounds * 12 * 8 * 2;
}

// Pairs of products to 16 bits, pairs of those to 32 bits.
int64_t int8(int64_t rounds) {
  __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  run_chains<8>(_mm256_setzero_si256(), rounds, [&](__m256i sum) {
    EDGEKIT_OPAQUE(x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
  });
  return rounds * 8 * 32 * 2;
}

float read(const float *from, size_t count) {
  __m256 sums[4] = {};
  for (size_t index = 0; index < count; index += 32)
    for (size_t part = 0; part < 4; ++part)
      sums[part] = _mm256_add_ps(sums[part], _mm256_load_ps(from + index + 8 * part));
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  float total = 0;
  for (const float lane : lanes) total += lane;
  return total;
}

void triad(float *to, const float *a, const float *b, float factor, size_t count) {
  const __m256 factors = _mm256_set1_ps(factor);
  for (size_t index = 0; index < count; index += 8)
    _mm256_store_ps(to + index, _mm256_fmadd_ps(_mm256_load_ps(b + index), factors, _mm256_load_ps(a + index)));
}

}  // namespace edgekit::peaks_avx2
