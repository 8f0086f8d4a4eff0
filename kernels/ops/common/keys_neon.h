// Keys on vectors, for NEON: four at a time.
//
// Without a name outside its file: what is compiled for one instruction set must not be linked into another's code.
#pragma once

#include <arm_neon.h>

#include "key.h"

namespace edgekit {
namespace {

// For each mask of four lanes, the bytes of the lanes that are in it, first to last.
struct Packing {
  uint8_t bytes[16][16];
  constexpr Packing() : bytes() {
    for (int mask = 0; mask < 16; ++mask) {
      int place = 0;
      for (int lane = 0; lane < 4; ++lane) {
        if (!(mask >> lane & 1)) continue;
        for (int byte = 0; byte < 4; ++byte) bytes[mask][4 * place + byte] = static_cast<uint8_t>(4 * lane + byte);
        ++place;
      }
    }
  }
};
constexpr Packing kPacking;

struct KeysNeon {
  using Keys = int32x4_t;
  static constexpr int64_t kLanes = 4;

  static Keys set(int32_t key) { return vdupq_n_s32(key); }
  static Keys iota(int32_t start) {
    const int32_t steps[4] = {0, 1, 2, 3};
    return vaddq_s32(vdupq_n_s32(start), vld1q_s32(steps));
  }
  static Keys load_keys(const int32_t *keys) { return vld1q_s32(keys); }
  static void store_keys(int32_t *to, Keys keys) { vst1q_s32(to, keys); }

  static Keys load(const float *x) { return keys_of(vreinterpretq_u32_f32(vld1q_f32(x))); }
  static Keys load(const uint16_t *x) {
    const float16x4_t halves = vreinterpret_f16_u16(vld1_u16(x));
    return keys_of(vreinterpretq_u32_f32(vcvt_f32_f16(halves)));
  }

  static unsigned greater(Keys a, Keys b) {
    const uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_s32(a, b), vld1q_u32(bits)));
  }

  static int compress(Keys keys, unsigned mask, int32_t *to) {
    const uint8x16_t packed = vqtbl1q_u8(vreinterpretq_u8_s32(keys), vld1q_u8(kPacking.bytes[mask]));
    vst1q_s32(to, vreinterpretq_s32_u8(packed));
    return __builtin_popcount(mask);
  }

  static Keys larger(Keys a, Keys b) { return vmaxq_s32(a, b); }
  // The smaller of `least` and `keys` where count <= limit, `least` elsewhere.
  static Keys least_where_not_greater(Keys least, Keys keys, Keys count, Keys limit) {
    return vminq_s32(least, vbslq_s32(vcgtq_s32(count, limit), least, keys));
  }
  static Keys count_greater(Keys count, Keys a, Keys b) {
    return vsubq_s32(count, vreinterpretq_s32_u32(vcgtq_s32(a, b)));
  }
  static Keys count_greater_equal(Keys count, Keys a, Keys b) {
    return vsubq_s32(count, vreinterpretq_s32_u32(vcgeq_s32(a, b)));
  }
  // Counts where `one`, which stands at `lane` of b, goes before b's lane: larger, or equal and earlier.
  static Keys count_ordered(Keys count, Keys one, Keys b, int lane) {
    const uint32x4_t later = vcgtq_s32(iota(0), set(lane));
    const uint32x4_t equal = vandq_u32(vceqq_s32(one, b), later);
    return vsubq_s32(count, vreinterpretq_s32_u32(vorrq_u32(vcgtq_s32(one, b), equal)));
  }

  static int64_t sum(Keys counts) { return vaddvq_s32(counts); }

 private:
  // As key_of: the magnitude with the number's sign, NaN lowest.
  static Keys keys_of(uint32x4_t bits) {
    const int32x4_t magnitude = vreinterpretq_s32_u32(vandq_u32(bits, vdupq_n_u32(0x7fffffff)));
    const int32x4_t sign = vshrq_n_s32(vreinterpretq_s32_u32(bits), 31);
    const int32x4_t keys = vsubq_s32(veorq_s32(magnitude, sign), sign);
    const uint32x4_t nan = vcgtq_s32(magnitude, vdupq_n_s32(0x7f800000));
    return vbslq_s32(nan, vdupq_n_s32(kNanKey), keys);
  }
};

}  // namespace
}  // namespace edgekit
