// Peaks of AVX-VNNI, which CPUs without AVX-512 have.
#include "peaks_kernels.h"

#if defined(EDGEKIT_HAS_AVXVNNI)
#include <immintrin.h>

#include "peaks_loops.h"

namespace edgekit::peaks_avxvnni {

int64_t int8(int64_t rounds) {
  __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5);
  run_chains<12>(_mm256_setzero_si256(), rounds, [&](__m256i sum) {
    EDGEKIT_OPAQUE(x);
    return _mm256_dpbusd_avx_epi32(sum, x, y);
  });
  return rounds * 12 * 32 * 2;
}

}  // namespace edgekit::peaks_avxvnni
#endif
