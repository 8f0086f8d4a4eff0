// Eight floats in one register, for AVX2 with FMA and F16C.
//
// Without a name outside its file: what is compiled for one instruction set must not be linked into another's code.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace edgekit {
namespace {

struct F32x8Avx2 {
  using Floats = __m256;

  static Floats set(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float *x) { return _mm256_loadu_ps(x); }
  static Floats load(const uint16_t *x) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(x)));
  }
  static Floats load(const int8_t *x) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(x))));
  }

  static void store(float *to, Floats x) { _mm256_storeu_ps(to, x); }
  // To nearest, ties to even.
  static void store(uint16_t *to, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  // To nearest, ties to even; -128 to 127 where x is beyond.
  static void store(int8_t *to, Floats x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(to), _mm_packs_epi16(words, words));
  }

  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }    // a * b + c
  static Floats fnma(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b
  // x where it is not negative, x * factor where it is.
  static Floats scale_negative(Floats x, Floats factor) {
    return _mm256_blendv_ps(x, _mm256_mul_ps(x, factor), _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
  // NaN if b is.
  static Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats magnitude(Floats x) { return _mm256_andnot_ps(set(-0.0f), x); }
  // `value`, but 0 where x < least; not where x is NaN.
  static Floats zero_where_less(Floats x, Floats least, Floats value) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, least, _CMP_LT_OQ), value);
  }

  // To the nearest whole number, ties to even.
  static Floats nearest(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // 2^x for a whole number from -126 to 127.
  static Floats power_of_two(Floats x) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  }

  static float sum(Floats x) {
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  static float largest(Floats x) {
    const __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  // The sum of each of eight.
  static Floats sums(const Floats (&x)[8]) {
    const __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    const __m256 high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }
  // Rows to columns.
  static void transpose(Floats (&rows)[8]) {
    Floats pairs[8], quads[8];
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
};

}  // namespace
}  // namespace edgekit
