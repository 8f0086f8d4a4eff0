// Peaks of arithmetic in half precision (FP16 of Armv8.2-A).
#include <arm_neon.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_neon_fp16 {

int64_t fp16(int64_t rounds) {
  float16x8_t x = vdupq_n_f16(static_cast<float16_t>(1e-3f)), y = vdupq_n_f16(static_cast<float16_t>(0.5f));
  run_chains<16>(x, rounds, [&](float16x8_t sum) {
    EDGEKIT_OPAQUE(x);
    return vfmaq_f16(sum, x, y);
  });
  return rounds * 16 * 8 * 2;
}

}  // namespace edgekit::peaks_neon_fp16
