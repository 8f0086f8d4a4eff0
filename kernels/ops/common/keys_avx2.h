// Keys on vectors, for AVX2: eight at a time.
//
// Without a name outside its file: what is compiled for one instruction set must not be linked into another's code.
#pragma once

#include <immintrin.h>

#include "key.h"

namespace edgekit {
namespace {

// For each mask of eight lanes, the lanes that are in it, first to last, a byte each.
struct Packing {
  uint64_t lanes[256];
  constexpr Packing() : lanes() {
    for (int mask = 0; mask < 256; ++mask) {
      int place = 0;
      for (int lane = 0; lane < 8; ++lane)
        if (mask >> lane & 1) lanes[mask] |= static_cast<uint64_t>(lane) << 8 * place++;
    }
  }
};
constexpr Packing kPacking;

struct KeysAvx2 {
  using Keys = __m256i;
  static constexpr int64_t kLanes = 8;

  static Keys set(int32_t key) { return _mm256_set1_epi32(key); }
  static Keys iota(int32_t start) {
    return _mm256_add_epi32(_mm256_set1_epi32(start), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Keys load_keys(const int32_t *keys) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(keys)); }
  static void store_keys(int32_t *to, Keys keys) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), keys); }

  static Keys load(const float *x) { return keys_of(_mm256_castps_si256(_mm256_loadu_ps(x))); }
  static Keys load(const uint16_t *x) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i *>(x));
    return keys_of(_mm256_castps_si256(_mm256_cvtph_ps(halves)));
  }

  static unsigned greater(Keys a, Keys b) { return lanes(_mm256_cmpgt_epi32(a, b)); }

  static int compress(Keys keys, unsigned mask, int32_t *to) {
    const __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kPacking.lanes[mask])));
    store_keys(to, _mm256_permutevar8x32_epi32(keys, order));
    return __builtin_popcount(mask);
  }

  static Keys larger(Keys a, Keys b) { return _mm256_max_epi32(a, b); }
  // The smaller of `least` and `keys` where count <= limit, `least` elsewhere.
  static Keys least_where_not_greater(Keys least, Keys keys, Keys count, Keys limit) {
    const __m256i candidates = _mm256_blendv_epi8(keys, least, _mm256_cmpgt_epi32(count, limit));
    return _mm256_min_epi32(least, candidates);
  }
  static Keys count_greater(Keys count, Keys a, Keys b) {
    return _mm256_sub_epi32(count, _mm256_cmpgt_epi32(a, b));
  }
  static Keys count_greater_equal(Keys count, Keys a, Keys b) {
    return _mm256_add_epi32(_mm256_add_epi32(count, set(1)), _mm256_cmpgt_epi32(b, a));
  }
  // Counts where `one`, which stands at `lane` of b, goes before b's lane: larger, or equal and earlier.
  static Keys count_ordered(Keys count, Keys one, Keys b, int lane) {
    const __m256i later = _mm256_cmpgt_epi32(iota(0), set(lane));
    const __m256i equal = _mm256_and_si256(_mm256_cmpeq_epi32(one, b), later);
    return _mm256_sub_epi32(count, _mm256_or_si256(_mm256_cmpgt_epi32(one, b), equal));
  }

  static int64_t sum(Keys counts) {
    const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    const __m128i quarter = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0xb1)));
  }

 private:
  static unsigned lanes(__m256i mask) { return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(mask))); }

  // As key_of: the magnitude with the number's sign, NaN lowest.
  static Keys keys_of(__m256i bits) {
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    const __m256i sign = _mm256_srai_epi32(bits, 31);
    const __m256i keys = _mm256_sub_epi32(_mm256_xor_si256(magnitude, sign), sign);
    const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
    return _mm256_blendv_epi8(keys, _mm256_set1_epi32(kNanKey), nan);
  }
};

}  // namespace
}  // namespace edgekit
