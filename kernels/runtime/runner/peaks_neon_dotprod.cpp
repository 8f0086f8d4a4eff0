// Peaks of the dot product of bytes (DotProd of Armv8.2-A): four products and their sum in one instruction.
#include <arm_neon.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_neon_dotprod {

int64_t int8(int64_t rounds) {
  int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(5);
  run_chains<16>(vdupq_n_s32(0), rounds, [&](int32x4_t sum) {
    EDGEKIT_OPAQUE(x);
    return vdotq_s32(sum, x, y);
  });
  return rounds * 16 * 16 * 2;
}

}  // namespace edgekit::peaks_neon_dotprod
