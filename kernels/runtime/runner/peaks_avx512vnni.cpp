// Peaks of AVX-512 VNNI: four products of bytes and their sum in one instruction.
#include <immintrin.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_avx512vnni {

int64_t int8(int64_t rounds) {
  __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(5);
  run_chains<12>(_mm512_setzero_si512(), rounds, [&](__m512i sum) {
    EDGEKIT_OPAQUE(x);
    return _mm512_dpbusd_epi32(sum, x, y);
  });
  return rounds * 12 * 64 * 2;
}

}  // namespace edgekit::peaks_avx512vnni
