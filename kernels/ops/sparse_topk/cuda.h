// sparse_topk on a GPU: what its kernels are given, and what they take.
#pragma once

#include "cuda/types.h"

namespace edgekit::sparse_topk {

struct CudaParams {
  const void *x;     // rows x n
  void *values;      // rows x k
  int64_t *indices;  // rows x k
  int64_t rows;
  unsigned n, k;
  unsigned room;  // items that a block's memory has room for, a power of two
  bool sorted;
  bool aligned;  // every row begins at a multiple of 16 bytes, and ends there
};

// A warp a row.
constexpr unsigned kCudaRows = 2;            // of a block
constexpr unsigned kCudaMostOfWarp = 128;    // candidates that a warp sorts, and the largest k
constexpr unsigned kCudaSmall = 8, kCudaMiddle = 32, kCudaLarge = 96;  // numbers a lane

// A block a row.
constexpr unsigned kCudaThreads = 512;
constexpr unsigned kCudaHead = 1024;       // bytes of a block's memory before its items
constexpr unsigned kCudaLeastRoom = 2048;  // items
constexpr unsigned kCudaBins = 2048;       // of a histogram

}  // namespace edgekit::sparse_topk

#ifndef __CUDACC_RTC__
#include "cuda/queue.h"
#include "edgekit/ops.h"

namespace edgekit::sparse_topk {

// Selects in the GPU's order; pointers are the device's. False: it could not be launched, or k is too large to be
// sorted in a block's memory.
bool enqueue(cuda::Queue &queue, edgekit_dtype dtype, const void *x, int64_t rows, int64_t n, int64_t k, bool sorted,
             void *values, int64_t *indices);

}  // namespace edgekit::sparse_topk
#endif
