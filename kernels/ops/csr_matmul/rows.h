// csr_matmul on vectors of eight, see common/f32x8_avx2.h.
//
// Products are rounded before they are added: the same bits as the scalar reference, and the time goes to loads anyway.
#pragma once

#include <algorithm>

#include "csr_matmul.h"

namespace edgekit::csr_matmul {

// kVectors * 8 columns of one row.
template <typename Simd, int kVectors>
void columns(const Matrix &matrix, int64_t row, const float *x, int64_t n, float *y) {
  typename Simd::Floats sums[kVectors];
  for (auto &sum : sums) sum = Simd::set(0);
  for (int64_t entry = matrix.crow[row]; entry < matrix.crow[row + 1]; ++entry) {
    const auto value = Simd::set(matrix.val[entry]);
    const float *from = x + matrix.col[entry] * n;
    for (int vector = 0; vector < kVectors; ++vector)
      sums[vector] = Simd::add(sums[vector], Simd::mul(value, Simd::load(from + 8 * vector)));
  }
  for (int vector = 0; vector < kVectors; ++vector) Simd::store(y + row * n + 8 * vector, sums[vector]);
}

// Fewer than eight columns of kRows rows. A sum waits for the one before it, so two rows go side by side.
template <typename Simd, int kColumns, int kRows>
void few_columns(const Matrix &matrix, int64_t row, const float *x, int64_t n, float *y) {
  float sums[kRows][kColumns] = {};
  const int64_t *first = matrix.crow + row;
  const auto add = [&](int line, int64_t entry) {
    const float *from = x + matrix.col[entry] * n;
    for (int column = 0; column < kColumns; ++column) sums[line][column] += matrix.val[entry] * from[column];
  };
  int64_t shortest = first[1] - first[0];
  for (int line = 1; line < kRows; ++line) shortest = std::min(shortest, first[line + 1] - first[line]);
  for (int64_t place = 0; place < shortest; ++place)
    for (int line = 0; line < kRows; ++line) add(line, first[line] + place);
  for (int line = 0; line < kRows; ++line)
    for (int64_t entry = first[line] + shortest; entry < first[line + 1]; ++entry) add(line, entry);
  for (int line = 0; line < kRows; ++line)
    for (int column = 0; column < kColumns; ++column) y[(row + line) * n + column] = sums[line][column];
}

template <typename Simd, int kColumns>
void last_columns(const Matrix &matrix, int64_t count, const float *x, int64_t n, float *y) {
  constexpr int kRows = kColumns < 4 ? 2 : 1;
  int64_t row = 0;
  for (; row + kRows <= count; row += kRows) few_columns<Simd, kColumns, kRows>(matrix, row, x, n, y);
  for (; row < count; ++row) few_columns<Simd, kColumns, 1>(matrix, row, x, n, y);
}

template <typename Simd>
void rows(const Matrix &matrix, int64_t count, const float *x, int64_t n, float *y) {
  const int64_t whole = n / 8 * 8;
  for (int64_t row = 0; row < count && whole > 0; ++row) {
    int64_t at = 0;
    for (; at + 64 <= n; at += 64) columns<Simd, 8>(matrix, row, x + at, n, y + at);
    for (; at + 16 <= n; at += 16) columns<Simd, 2>(matrix, row, x + at, n, y + at);
    for (; at + 8 <= n; at += 8) columns<Simd, 1>(matrix, row, x + at, n, y + at);
  }
  constexpr Rows kLast[] = {last_columns<Simd, 1>, last_columns<Simd, 2>, last_columns<Simd, 3>, last_columns<Simd, 4>,
                            last_columns<Simd, 5>, last_columns<Simd, 6>, last_columns<Simd, 7>};
  if (whole < n) kLast[n - whole - 1](matrix, count, x + whole, n, y + whole);
}

}  // namespace edgekit::csr_matmul
