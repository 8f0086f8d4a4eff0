// Features, layer norms and GELU, on vectors of eight.
#pragma once

#include <cmath>
#include <cstdint>

#include "../common/exp.h"
#include "../common/part.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {

// phi of the projected numbers, in place.
template <typename Simd>
void make_features(float *numbers, int64_t count) {
  const auto phi = [](typename Simd::Floats x) {
    return Simd::add(Simd::larger(Simd::set(0), x), Simd::set(kLeastFeature));
  };
  int64_t at = 0;
  for (; at + 8 <= count; at += 8) Simd::store(numbers + at, phi(Simd::load(numbers + at)));
  if (at < count) store_part<Simd>(numbers + at, phi(load_part<Simd>(numbers + at, count - at)), count - at);
}

// Layer norm; `to` may be `from`.
template <typename Simd>
void normalize(const float *from, int64_t count, const float *weight, const float *bias, float *to) {
  using V = typename Simd::Floats;
  const int64_t whole = count / 8 * 8, rest = count - whole;
  const float size = static_cast<float>(count);
  V total = rest > 0 ? load_part<Simd>(from + whole, rest) : Simd::set(0);
  for (int64_t at = 0; at < whole; at += 8) total = Simd::add(total, Simd::load(from + at));
  const float mean = Simd::sum(total) / size;
  const V middle = Simd::set(mean);
  V squares = Simd::set(0);
  if (rest > 0) {
    const V distance = Simd::sub(load_part<Simd>(from + whole, rest, mean), middle);
    squares = Simd::mul(distance, distance);
  }
  for (int64_t at = 0; at < whole; at += 8) {
    const V distance = Simd::sub(Simd::load(from + at), middle);
    squares = Simd::fma(distance, distance, squares);
  }
  const V scale = Simd::set(1.0f / std::sqrt(Simd::sum(squares) / size + kNormEpsilon));
  for (int64_t at = 0; at < whole; at += 8) {
    const V normal = Simd::mul(Simd::sub(Simd::load(from + at), middle), scale);
    Simd::store(to + at, Simd::fma(normal, Simd::load(weight + at), Simd::load(bias + at)));
  }
  if (rest > 0) {
    const V normal = Simd::mul(Simd::sub(load_part<Simd>(from + whole, rest), middle), scale);
    const V weights = load_part<Simd>(weight + whole, rest), biases = load_part<Simd>(bias + whole, rest);
    store_part<Simd>(to + whole, Simd::fma(normal, weights, biases), rest);
  }
}

// x times the normal distribution's probability of less than x, exact to 1e-7 of 1 + |x|.
//
// Below zero that probability is exp(R(|x|)) with a polynomial R, a minimax fit on [0, 7] that only falls beyond.
template <typename Simd>
typename Simd::Floats gelu(typename Simd::Floats x) {
  using V = typename Simd::Floats;
  const V size = Simd::magnitude(x);
  V r = Simd::set(-0x1.8be820p-22f);
  r = Simd::fma(r, size, Simd::set(0x1.bb165cp-18f));
  r = Simd::fma(r, size, Simd::set(-0x1.80017ep-16f));
  r = Simd::fma(r, size, Simd::set(-0x1.85c9f4p-12f));
  r = Simd::fma(r, size, Simd::set(0x1.5a80b2p-8f));
  r = Simd::fma(r, size, Simd::set(-0x1.2c8074p-5f));
  r = Simd::fma(r, size, Simd::set(-0x1.45d3f4p-2f));
  r = Simd::fma(r, size, Simd::set(-0x1.98865cp-1f));
  r = Simd::fma(r, size, Simd::set(-0x1.62e426p-1f));
  const V tail = exp<Simd>(r);
  // x tail where x is negative, x - x tail elsewhere: both are max(x, 0) - |x| tail.
  return Simd::fnma(size, tail, Simd::larger(Simd::set(0), x));
}

template <typename Simd>
void apply_gelu(float *numbers, int64_t count) {
  int64_t at = 0;
  for (; at + 8 <= count; at += 8) Simd::store(numbers + at, gelu<Simd>(Simd::load(numbers + at)));
  if (at < count) store_part<Simd>(numbers + at, gelu<Simd>(load_part<Simd>(numbers + at, count - at)), count - at);
}

}  // namespace edgekit::sea_estimate
