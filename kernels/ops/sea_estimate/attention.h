// Linear attention of one head and row, on vectors of eight.
#pragma once

#include <cstdint>

#include "../common/part.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {

// `sums`, one number for each feature, plus `features`; gives their product with `query`.
template <typename Simd>
float add_keys(const float *query, const float *features, int64_t count, float *sums) {
  using V = typename Simd::Floats;
  const V epsilon = Simd::set(kKeysEpsilon);
  V total = Simd::set(0);
  int64_t at = 0;
  for (; at + 8 <= count; at += 8) {
    const V sum = Simd::add(Simd::load(sums + at), Simd::load(features + at));
    Simd::store(sums + at, sum);
    total = Simd::fma(Simd::load(query + at), Simd::add(sum, epsilon), total);
  }
  if (at < count) {
    const int64_t rest = count - at;
    const V sum = Simd::add(load_part<Simd>(sums + at, rest), load_part<Simd>(features + at, rest));
    store_part<Simd>(sums + at, sum, rest);
    total = Simd::fma(load_part<Simd>(query + at, rest), Simd::add(sum, epsilon), total);
  }
  return Simd::sum(total);
}

// A few vectors of columns of: sums += features values^T, values = scale (query sums). `sums` has rows of `size`.
template <typename Simd, int kVectors>
void add_values(const float *query, const float *features, int64_t count, int64_t size, typename Simd::Floats scale,
                float *sums, float *values) {
  using V = typename Simd::Floats;
  V value[kVectors], context[kVectors];
  for (int vector = 0; vector < kVectors; ++vector) {
    value[vector] = Simd::load(values + 8 * vector);
    context[vector] = Simd::set(0);
  }
  for (int64_t feature = 0; feature < count; ++feature, sums += size) {
    const V key = Simd::set(features[feature]), asked = Simd::set(query[feature]);
    for (int vector = 0; vector < kVectors; ++vector) {
      const V sum = Simd::fma(key, value[vector], Simd::load(sums + 8 * vector));
      Simd::store(sums + 8 * vector, sum);
      context[vector] = Simd::fma(asked, sum, context[vector]);
    }
  }
  for (int vector = 0; vector < kVectors; ++vector)
    Simd::store(values + 8 * vector, Simd::mul(context[vector], scale));
}

// Adds a token to a head's sums and gives its query's context in the place of its values, `size` numbers.
template <typename Simd>
void attend(const float *query, const float *features, int64_t count, int64_t size, float *keys, float *key_values,
            float *values) {
  using V = typename Simd::Floats;
  const V scale = Simd::set(1.0f / add_keys<Simd>(query, features, count, keys));
  int64_t at = 0;
  for (; at + 32 <= size; at += 32)
    add_values<Simd, 4>(query, features, count, size, scale, key_values + at, values + at);
  for (; at + 8 <= size; at += 8)
    add_values<Simd, 1>(query, features, count, size, scale, key_values + at, values + at);
  if (at == size) return;
  const int64_t rest = size - at;
  const V value = load_part<Simd>(values + at, rest);
  V context = Simd::set(0);
  for (int64_t feature = 0; feature < count; ++feature) {
    float *sums = key_values + feature * size + at;
    const V sum = Simd::fma(Simd::set(features[feature]), value, load_part<Simd>(sums, rest));
    store_part<Simd>(sums, sum, rest);
    context = Simd::fma(Simd::set(query[feature]), sum, context);
  }
  store_part<Simd>(values + at, Simd::mul(context, scale), rest);
}

// `sums` plus `values`, and from that the mean of `tokens`.
template <typename Simd>
void add_mean(const float *values, int64_t size, int64_t tokens, float *sums, float *mean) {
  const auto count = Simd::set(static_cast<float>(tokens));
  int64_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const auto sum = Simd::add(Simd::load(sums + at), Simd::load(values + at));
    Simd::store(sums + at, sum);
    Simd::store(mean + at, Simd::div(sum, count));
  }
  if (at == size) return;
  const auto sum = Simd::add(load_part<Simd>(sums + at, size - at), load_part<Simd>(values + at, size - at));
  store_part<Simd>(sums + at, sum, size - at);
  store_part<Simd>(mean + at, Simd::div(sum, count), size - at);
}

}  // namespace edgekit::sea_estimate
