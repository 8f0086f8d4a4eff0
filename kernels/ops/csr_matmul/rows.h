// csr_matmul on vectors of eight, see common/f32x8_avx2.h.
//
// Products are rounded before they are added: the same bits as the scalar reference, and the time goes to loads anyway.
#pragma once

#include "csr_matmul.h"

namespace edgekit::csr_matmul {

template <typename Simd, int kVectors>
void columns(const int64_t *col, const float *val, int64_t count, const float *x, int64_t n, float *y) {
  typename Simd::Floats sums[kVectors];
  for (auto &sum : sums) sum = Simd::set(0);
  for (int64_t entry = 0; entry < count; ++entry) {
    const auto value = Simd::set(val[entry]);
    const float *from = x + col[entry] * n;
    for (int vector = 0; vector < kVectors; ++vector)
      sums[vector] = Simd::add(sums[vector], Simd::mul(value, Simd::load(from + 8 * vector)));
  }
  for (int vector = 0; vector < kVectors; ++vector) Simd::store(y + 8 * vector, sums[vector]);
}

template <typename Simd>
void row(const int64_t *col, const float *val, int64_t count, const float *x, int64_t n, float *y) {
  int64_t at = 0;
  for (; at + 64 <= n; at += 64) columns<Simd, 8>(col, val, count, x + at, n, y + at);
  for (; at + 16 <= n; at += 16) columns<Simd, 2>(col, val, count, x + at, n, y + at);
  for (; at + 8 <= n; at += 8) columns<Simd, 1>(col, val, count, x + at, n, y + at);
  for (; at < n; ++at) {
    float sum = 0;
    for (int64_t entry = 0; entry < count; ++entry) sum += val[entry] * x[col[entry] * n + at];
    y[at] = sum;
  }
}

}  // namespace edgekit::csr_matmul
