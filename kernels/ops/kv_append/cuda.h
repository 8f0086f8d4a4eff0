// kv_append on a GPU: what its kernel is given.
#pragma once

#include "cuda/types.h"

namespace edgekit::kv_append {

// Numbers as stored: the values of edgekit_dtype.
struct CudaParams {
  const void *k, *v;        // heads x rows x size
  void *k_cache, *v_cache;  // heads x capacity x size
  float *k_scale, *v_scale;
  int64_t heads, rows, size, capacity, start_pos;
  int from, to;
  unsigned lanes;  // that take a row: a power of two, 32 at most
  bool wide;       // numbers go four at a time
};

constexpr unsigned kCudaThreads = 128;

}  // namespace edgekit::kv_append

#ifndef __CUDACC_RTC__
#include "cuda/queue.h"
#include "edgekit/ops.h"

namespace edgekit::kv_append {

CudaParams make_params(const edgekit_kv_cache &cache, edgekit_dtype dtype, const void *k, const void *v, int64_t rows,
                       int64_t start_pos);

// Appends in the GPU's order; pointers are the device's. False: it could not be launched.
bool enqueue(cuda::Queue &queue, const edgekit_kv_cache &cache, edgekit_dtype dtype, const void *k, const void *v,
             int64_t rows, int64_t start_pos);

}  // namespace edgekit::kv_append
#endif
