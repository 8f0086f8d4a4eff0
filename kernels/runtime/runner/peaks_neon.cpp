// Peaks of Armv8.0-A's vector instructions.
#include <arm_neon.h>

#include "peaks_kernels.h"
#include "peaks_loops.h"

namespace edgekit::peaks_neon {

int64_t fp32(int64_t rounds) {
  float32x4_t x = vdupq_n_f32(1e-3f), y = vdupq_n_f32(0.5f);
  run_chains<16>(x, rounds, [&](float32x4_t sum) {
    EDGEKIT_OPAQUE(x);
    return vfmaq_f32(sum, x, y);
  });
  return rounds * 16 * 4 * 2;
}

// Two products to 16 bits, their pairs to 32 bits.
int64_t int8(int64_t rounds) {
  int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(5);
  run_chains<8>(vdupq_n_s32(0), rounds, [&](int32x4_t sum) {
    EDGEKIT_OPAQUE(x);
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(y));
    return vpadalq_s16(sum, vmlal_s8(low, vget_high_s8(x), vget_high_s8(y)));
  });
  return rounds * 8 * 16 * 2;
}

float read(const float *from, size_t count) {
  float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  for (size_t index = 0; index < count; index += 16)
    for (size_t part = 0; part < 4; ++part) sums[part] = vaddq_f32(sums[part], vld1q_f32(from + index + 4 * part));
  return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
}

void triad(float *to, const float *a, const float *b, float factor, size_t count) {
  for (size_t index = 0; index < count; index += 16)
    for (size_t part = index; part < index + 16; part += 4)
      vst1q_f32(to + part, vfmaq_n_f32(vld1q_f32(a + part), vld1q_f32(b + part), factor));
}

}  // namespace edgekit::peaks_neon
