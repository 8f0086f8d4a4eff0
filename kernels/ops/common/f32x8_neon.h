// Eight floats in two registers, for NEON.
//
// Without a name outside its file: what is compiled for one instruction set must not be linked into another's code.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace edgekit {
namespace {

struct F32x8Neon {
  struct Floats {
    float32x4_t low, high;
  };

  static Floats set(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
  static Floats load(const float *x) { return {vld1q_f32(x), vld1q_f32(x + 4)}; }
  static Floats load(const uint16_t *x) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(x));
    return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_f32_f16(vget_high_f16(halves))};
  }
  static Floats load(const int8_t *x) {
    const int16x8_t words = vmovl_s8(vld1_s8(x));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(words)))};
  }

  static void store(float *to, Floats x) {
    vst1q_f32(to, x.low);
    vst1q_f32(to + 4, x.high);
  }
  // To nearest, ties to even.
  static void store(uint16_t *to, Floats x) {
    const float16x8_t halves = vcombine_f16(vcvt_f16_f32(x.low), vcvt_f16_f32(x.high));
    vst1q_u16(to, vreinterpretq_u16_f16(halves));
  }
  // To nearest, ties to even; -128 to 127 where x is beyond.
  static void store(int8_t *to, Floats x) {
    const int16x8_t words = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(x.low)), vqmovn_s32(vcvtnq_s32_f32(x.high)));
    vst1_s8(to, vqmovn_s16(words));
  }

  static Floats add(Floats a, Floats b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
  static Floats sub(Floats a, Floats b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
  static Floats mul(Floats a, Floats b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
  static Floats div(Floats a, Floats b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
  static Floats fma(Floats a, Floats b, Floats c) {
    return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};  // a * b + c
  }
  static Floats fnma(Floats a, Floats b, Floats c) {
    return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)};  // c - a * b
  }
  // x where it is not negative, x * factor where it is.
  static Floats scale_negative(Floats x, Floats factor) {
    const Floats scaled = mul(x, factor);
    return {vbslq_f32(vcltzq_f32(x.low), scaled.low, x.low), vbslq_f32(vcltzq_f32(x.high), scaled.high, x.high)};
  }
  // NaN if b is.
  static Floats larger(Floats a, Floats b) { return {vmaxq_f32(a.low, b.low), vmaxq_f32(a.high, b.high)}; }
  static Floats magnitude(Floats x) { return {vabsq_f32(x.low), vabsq_f32(x.high)}; }
  // `value`, but 0 where x < least; not where x is NaN.
  static Floats zero_where_less(Floats x, Floats least, Floats value) {
    return {cleared(value.low, vcltq_f32(x.low, least.low)), cleared(value.high, vcltq_f32(x.high, least.high))};
  }

  // To the nearest whole number, ties to even.
  static Floats nearest(Floats x) { return {vrndnq_f32(x.low), vrndnq_f32(x.high)}; }
  // 2^x for a whole number from -126 to 127.
  static Floats power_of_two(Floats x) { return {power_of_two(x.low), power_of_two(x.high)}; }

  static float sum(Floats x) { return vaddvq_f32(vaddq_f32(x.low, x.high)); }
  static float largest(Floats x) { return vmaxvq_f32(vmaxq_f32(x.low, x.high)); }
  // The sum of each of eight.
  static Floats sums(const Floats (&x)[8]) { return {sums(x[0], x[1], x[2], x[3]), sums(x[4], x[5], x[6], x[7])}; }
  // Rows to columns.
  static void transpose(Floats (&rows)[8]) {
    float32x4_t low[8], high[8];
    for (int i = 0; i < 8; i += 4) {
      transpose(rows[i].low, rows[i + 1].low, rows[i + 2].low, rows[i + 3].low, low + i);
      transpose(rows[i].high, rows[i + 1].high, rows[i + 2].high, rows[i + 3].high, high + i);
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = {low[i], low[i + 4]};
      rows[i + 4] = {high[i], high[i + 4]};
    }
  }

 private:
  static void transpose(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d, float32x4_t *out) {
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    out[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    out[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    out[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    out[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
  }
  static float32x4_t cleared(float32x4_t value, uint32x4_t mask) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value), mask));
  }
  static float32x4_t power_of_two(float32x4_t x) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(127)), 23));
  }
  static float32x4_t halves(Floats x) { return vaddq_f32(x.low, x.high); }
  static float32x4_t sums(Floats a, Floats b, Floats c, Floats d) {
    return vpaddq_f32(vpaddq_f32(halves(a), halves(b)), vpaddq_f32(halves(c), halves(d)));
  }
};

}  // namespace
}  // namespace edgekit
