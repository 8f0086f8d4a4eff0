// The kernels of csr_matmul: one row of the sparse matrix at a time, one table for dispatch, tests and benchmarks.
#pragma once

#include <cstdint>

#include "../common/isa.h"

namespace edgekit::csr_matmul {

// y[0..n) = the sum of val[i] * x[col[i] * n ..], for `count` entries in their order.
using Row = void (*)(const int64_t *col, const float *val, int64_t count, const float *x, int64_t n, float *y);

struct Kernels {
  Isa isa;
  Row row;
};

EDGEKIT_KERNEL_TABLE(Kernels);

}  // namespace edgekit::csr_matmul
