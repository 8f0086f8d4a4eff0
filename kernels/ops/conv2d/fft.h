// Fourier transforms of 32 or 64 complex points, eight of them at once, one in each lane.
//
// N = 8 * M points are M transforms of 8, a rotation, and 8 transforms of M = 4 or 8. A point is a line of 16 floats:
// eight real parts, eight imaginary parts.
#pragma once

#include <cstdint>

#include "conv2d.h"

namespace edgekit::conv2d {

// cos(2 pi i / n), for tables that the compiler fills.
constexpr double cosine(int i, int n) {
  constexpr double kPi = 3.14159265358979323846;
  const int place = (i % n + n) % n;
  const double angle = 2.0 * kPi * (place > n / 2 ? place - n : place) / n;
  double term = 1.0, sum = 1.0;
  for (int k = 1; k < 16; ++k) {
    term *= -angle * angle / ((2 * k - 1) * (2 * k));
    sum += term;
  }
  return sum;
}

template <typename Simd, int N>
class Fft {
  static_assert(N == 32 || N == 64);

 public:
  // out[k] = sum of in[i] * e^(-2 pi i k / N), with + where `kInverse`, for k below `count`. Strides are in floats.
  template <bool kInverse>
  static void run(const float *in, int64_t in_stride, float *out, int64_t out_stride, int64_t count) {
    // Swapping real and imaginary parts on both sides turns the transform round.
    constexpr int64_t kRe = kInverse ? kImaginary : 0, kIm = kImaginary - kRe;
    alignas(64) float middle[N * kLine];
    for (int i = 0; i < kM; ++i) {
      Complex v[8];
      for (int j = 0; j < 8; ++j) {
        const float *point = in + (kM * j + i) * in_stride;
        v[j] = {Simd::load(point + kRe), Simd::load(point + kIm)};
      }
      transform8(v);
      for (int k = 0; k < 8; ++k) {
        float *to = middle + (k * kM + i) * kLine;
        const Complex rotated = rotate(v[k], kRotations.re[i][k], kRotations.im[i][k]);
        Simd::store(to, rotated.re);
        Simd::store(to + kImaginary, rotated.im);
      }
    }
    for (int k = 0; k < 8; ++k) {
      Complex v[kM];
      for (int i = 0; i < kM; ++i) {
        const float *point = middle + (k * kM + i) * kLine;
        v[i] = {Simd::load(point), Simd::load(point + kImaginary)};
      }
      if constexpr (kM == 4) {
        transform4(v[0], v[1], v[2], v[3]);
      } else {
        transform8(v);
      }
      for (int i = 0; i < kM; ++i) {
        if (k + 8 * i >= count) continue;
        float *point = out + (k + 8 * i) * out_stride;
        Simd::store(point + kRe, v[i].re);
        Simd::store(point + kIm, v[i].im);
      }
    }
  }

 private:
  using V = typename Simd::Floats;
  struct Complex {
    V re, im;
  };
  static constexpr int kM = N / 8;

  struct Rotations {
    float re[kM][8], im[kM][8];
    constexpr Rotations() : re(), im() {
      for (int i = 0; i < kM; ++i) {
        for (int k = 0; k < 8; ++k) {
          re[i][k] = static_cast<float>(cosine(i * k, N));
          im[i][k] = static_cast<float>(cosine(i * k + N / 4, N));  // -sin
        }
      }
    }
  };
  static constexpr Rotations kRotations{};

  static Complex add(Complex a, Complex b) { return {Simd::add(a.re, b.re), Simd::add(a.im, b.im)}; }
  static Complex sub(Complex a, Complex b) { return {Simd::sub(a.re, b.re), Simd::sub(a.im, b.im)}; }
  // a - i b, a + i b
  static Complex sub_turned(Complex a, Complex b) { return {Simd::add(a.re, b.im), Simd::sub(a.im, b.re)}; }
  static Complex add_turned(Complex a, Complex b) { return {Simd::sub(a.re, b.im), Simd::add(a.im, b.re)}; }
  static Complex rotate(Complex a, float re, float im) {
    const V r = Simd::set(re), i = Simd::set(im);
    return {Simd::fnma(a.im, i, Simd::mul(a.re, r)), Simd::fma(a.im, r, Simd::mul(a.re, i))};
  }

  static void transform4(Complex &a, Complex &b, Complex &c, Complex &d) {
    const Complex ac = add(a, c), bd = add(b, d), a_c = sub(a, c), b_d = sub(b, d);
    a = add(ac, bd);
    b = sub_turned(a_c, b_d);
    c = sub(ac, bd);
    d = add_turned(a_c, b_d);
  }

  static void transform8(Complex (&v)[8]) {
    transform4(v[0], v[2], v[4], v[6]);
    transform4(v[1], v[3], v[5], v[7]);
    const V half = Simd::set(0.70710678118654752f);
    // e^(-2 pi i / 8) is (1 - i) * half, its third power (-1 - i) * half.
    const Complex one{Simd::add(v[3].re, v[3].im), Simd::sub(v[3].im, v[3].re)};
    const Complex three{Simd::sub(v[7].im, v[7].re), Simd::add(v[7].im, v[7].re)};
    const Complex a = v[0], b = v[2], c = v[4], d = v[6], odd0 = v[1], odd2 = v[5];
    v[0] = add(a, odd0);
    v[4] = sub(a, odd0);
    v[1] = {Simd::fma(one.re, half, b.re), Simd::fma(one.im, half, b.im)};
    v[5] = {Simd::fnma(one.re, half, b.re), Simd::fnma(one.im, half, b.im)};
    v[2] = sub_turned(c, odd2);
    v[6] = add_turned(c, odd2);
    v[3] = {Simd::fma(three.re, half, d.re), Simd::fnma(three.im, half, d.im)};
    v[7] = {Simd::fnma(three.re, half, d.re), Simd::fma(three.im, half, d.im)};
  }
};

}  // namespace edgekit::conv2d
