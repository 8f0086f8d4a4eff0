// The kernels of csr_matmul: rows of the sparse matrix times x; one table for dispatch, tests and benchmarks.
#pragma once

#include <cstdint>

#include "../common/isa.h"

namespace edgekit::csr_matmul {

// Rows of a sparse matrix: row i has the entries from crow[i] to crow[i + 1].
struct Matrix {
  const int64_t *crow, *col;
  const float *val;
};

// y[i * n ..] = the sum of val[entry] * x[col[entry] * n ..] over the entries of row i in their order, for `count` rows.
using Rows = void (*)(const Matrix &matrix, int64_t count, const float *x, int64_t n, float *y);

struct Kernels {
  Isa isa;
  Rows rows;
};

EDGEKIT_KERNEL_TABLE(Kernels);

}  // namespace edgekit::csr_matmul
