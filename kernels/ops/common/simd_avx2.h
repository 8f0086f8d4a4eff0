// Eight floats at a time with AVX2 and FMA. Only for files that are compiled for them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace edgekit {

struct Avx2 {
  using V = __m256;
  static constexpr int64_t kLanes = 8;

  static V load(const float *from) { return _mm256_loadu_ps(from); }
  static void store(float *to, V v) { _mm256_storeu_ps(to, v); }
  static V set(float value) { return _mm256_set1_ps(value); }

  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }    // a * b + c
  static V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b

  // v where it is not negative, v * factor where it is.
  static V scale_negative(V v, V factor) { return _mm256_blendv_ps(v, _mm256_mul_ps(v, factor), v); }

  // Rows to columns.
  static void transpose(V (&rows)[8]) {
    V pairs[8], quads[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      for (int half = 0; half < 2; ++half) {
        quads[i + 2 * half] = _mm256_shuffle_ps(pairs[i + half], pairs[i + 2 + half], 0x44);
        quads[i + 2 * half + 1] = _mm256_shuffle_ps(pairs[i + half], pairs[i + 2 + half], 0xee);
      }
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    }
  }

  // 32 consecutive floats: lane l of v[i] is from[4 * l + i].
  static void load4(const float *from, V (&v)[4]) {
    V rows[4];
    for (int i = 0; i < 4; ++i)
      rows[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + 4 * i)), _mm_loadu_ps(from + 4 * i + 16), 1);
    transpose4(rows, v);
  }

  // The reverse of load4.
  static void store4(float *to, const V (&v)[4]) {
    V rows[4];
    transpose4(v, rows);
    for (int i = 0; i < 4; ++i) {
      _mm_storeu_ps(to + 4 * i, _mm256_castps256_ps128(rows[i]));
      _mm_storeu_ps(to + 4 * i + 16, _mm256_extractf128_ps(rows[i], 1));
    }
  }

 private:
  // Both halves of four vectors, as 4 x 4 matrices.
  static void transpose4(const V (&in)[4], V (&out)[4]) {
    const V a = _mm256_unpacklo_ps(in[0], in[1]), b = _mm256_unpackhi_ps(in[0], in[1]);
    const V c = _mm256_unpacklo_ps(in[2], in[3]), d = _mm256_unpackhi_ps(in[2], in[3]);
    out[0] = _mm256_shuffle_ps(a, c, 0x44);
    out[1] = _mm256_shuffle_ps(a, c, 0xee);
    out[2] = _mm256_shuffle_ps(b, d, 0x44);
    out[3] = _mm256_shuffle_ps(b, d, 0xee);
  }
};

}  // namespace edgekit
