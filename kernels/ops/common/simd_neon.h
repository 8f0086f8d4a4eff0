// Eight floats at a time with NEON, as two vectors of four.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace edgekit {

struct Neon {
  struct V {
    float32x4_t low, high;
  };
  static constexpr int64_t kLanes = 8;

  static V load(const float *from) { return {vld1q_f32(from), vld1q_f32(from + 4)}; }
  static void store(float *to, V v) {
    vst1q_f32(to, v.low);
    vst1q_f32(to + 4, v.high);
  }
  static V set(float value) { return {vdupq_n_f32(value), vdupq_n_f32(value)}; }

  static V add(V a, V b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
  static V sub(V a, V b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
  static V mul(V a, V b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
  static V fma(V a, V b, V c) { return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }   // a * b + c
  static V fnma(V a, V b, V c) { return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)}; }  // c - a * b

  // v where it is not negative, v * factor where it is.
  static V scale_negative(V v, V factor) {
    const V scaled = mul(v, factor);
    return {vbslq_f32(vcltzq_f32(v.low), scaled.low, v.low), vbslq_f32(vcltzq_f32(v.high), scaled.high, v.high)};
  }

  // Rows to columns.
  static void transpose(V (&rows)[8]) {
    float32x4_t low[8], high[8];
    for (int i = 0; i < 8; i += 4) {
      transpose4(rows[i].low, rows[i + 1].low, rows[i + 2].low, rows[i + 3].low, low + i);
      transpose4(rows[i].high, rows[i + 1].high, rows[i + 2].high, rows[i + 3].high, high + i);
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = {low[i], low[i + 4]};
      rows[i + 4] = {high[i], high[i + 4]};
    }
  }

  // 32 consecutive floats: lane l of v[i] is from[4 * l + i].
  static void load4(const float *from, V (&v)[4]) {
    const float32x4x4_t low = vld4q_f32(from), high = vld4q_f32(from + 16);
    for (int i = 0; i < 4; ++i) v[i] = {low.val[i], high.val[i]};
  }

  // The reverse of load4.
  static void store4(float *to, const V (&v)[4]) {
    vst4q_f32(to, float32x4x4_t{{v[0].low, v[1].low, v[2].low, v[3].low}});
    vst4q_f32(to + 16, float32x4x4_t{{v[0].high, v[1].high, v[2].high, v[3].high}});
  }

 private:
  static void transpose4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d, float32x4_t *out) {
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    out[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    out[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    out[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    out[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
  }
};

}  // namespace edgekit
