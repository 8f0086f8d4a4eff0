// csr_matmul on a GPU: what its kernels are given.
#pragma once

#include "cuda/types.h"

namespace edgekit::csr_matmul {

struct CudaParams {
  const int64_t *crow, *col;
  const float *val;
  const float *x;  // batch x columns x n
  float *y;        // batch x rows x n
  int64_t batch;
  unsigned rows, columns;
  unsigned steps;  // a row's columns, as many at a time as a thread takes
};

constexpr unsigned kCudaThreads = 128;
constexpr unsigned kCudaProducts = 512;  // that a warp has room for, where n is 1

}  // namespace edgekit::csr_matmul

#ifndef __CUDACC_RTC__
#include "cuda/queue.h"

namespace edgekit::csr_matmul {

// Multiplies in the GPU's order; pointers are the device's. False: it could not be launched, or there are more than
// 2^32 - 1 numbers in a matrix.
bool enqueue(cuda::Queue &queue, int64_t rows, int64_t columns, int64_t entries, const int64_t *crow,
             const int64_t *col, const float *val, const float *x, int64_t batch, int64_t n, float *y);

}  // namespace edgekit::csr_matmul
#endif
