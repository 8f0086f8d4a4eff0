// The kernels of sparse_topk: one row at a time, one table for dispatch, tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::sparse_topk {

// One row of n numbers; see edgekit_sparse_topk. `scratch` has row_scratch(n, k) bytes.
template <typename T>
using RowKernel = void (*)(const T *x, int64_t n, int64_t k, bool sorted, T *values, int64_t *indices, void *scratch);

struct Kernels {
  Isa isa;
  RowKernel<float> float32;
  RowKernel<uint16_t> float16;
};

EDGEKIT_KERNEL_TABLE(Kernels);

// What may be asked of the operator, wherever it runs.
edgekit_status check(edgekit_dtype dtype, int64_t rows, int64_t n, int64_t k);

// Bytes that one row needs: candidates with their places, and room to sort the chosen.
size_t row_scratch(int64_t n, int64_t k);

}  // namespace edgekit::sparse_topk
