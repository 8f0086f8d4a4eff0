// The reference.

#include <algorithm>

#include "csr_matmul.h"

namespace edgekit::csr_matmul {
namespace {

void row(const int64_t *col, const float *val, int64_t count, const float *x, int64_t n, float *y) {
  std::fill(y, y + n, 0.0f);
  for (int64_t entry = 0; entry < count; ++entry)
    for (int64_t place = 0; place < n; ++place) y[place] += val[entry] * x[col[entry] * n + place];
}

}  // namespace

const Kernels kScalar{Isa::kScalar, row};

}  // namespace edgekit::csr_matmul
