// The reference.

#include <algorithm>

#include "csr_matmul.h"

namespace edgekit::csr_matmul {
namespace {

void rows(const Matrix &matrix, int64_t count, const float *x, int64_t n, float *y) {
  std::fill(y, y + count * n, 0.0f);
  for (int64_t row = 0; row < count; ++row)
    for (int64_t entry = matrix.crow[row]; entry < matrix.crow[row + 1]; ++entry)
      for (int64_t place = 0; place < n; ++place)
        y[row * n + place] += matrix.val[entry] * x[matrix.col[entry] * n + place];
}

}  // namespace

const Kernels kScalar{Isa::kScalar, rows};

}  // namespace edgekit::csr_matmul
