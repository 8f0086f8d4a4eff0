// csr_matmul on a GPU, with the bits of the CPU's: products are rounded, then added in the order of a row's entries.
//
// A thread takes one column of a row, or four neighbours where rows are aligned to 16 bytes; neighbours are in one
// warp, so x is read and y written in whole sectors, and col and val are read once for all. A thread takes entries four
// at a time, whose loads are under way together. Bound by reading x, 4 * n bytes an entry, from the cache where its
// rows come again: registers (40) and barriers (none) are no limit.
//
// One column (n = 1) would be a thread for each row, that reads its entries alone. There a warp takes 32 rows: it
// reads their entries side by side, puts the products into the block's memory, and every lane adds its row's.

#include "cuda/device.cuh"
#include "cuda.h"

namespace edgekit::csr_matmul {

using namespace edgekit::cuda;

inline void clear(float &sum) { sum = 0; }
inline void clear(float4 &sum) { sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

inline void add(float &sum, float value, float x) { sum = sum + __fmul_rn(value, x); }
inline void add(float4 &sum, float value, const float4 &x) {
  add(sum.x, value, x.x);
  add(sum.y, value, x.y);
  add(sum.z, value, x.z);
  add(sum.w, value, x.w);
}

template <typename Columns>
__forceinline__ void multiply(const CudaParams &p) {
  constexpr int kTogether = 4;
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, row = item / p.steps, step = item % p.steps;
  if (row >= p.rows) return;
  const int64_t begin = p.crow[row], end = p.crow[row + 1];
  for (int64_t matrix = blockIdx.y; matrix < p.batch; matrix += gridDim.y) {
    const Columns *x = reinterpret_cast<const Columns *>(p.x) + matrix * p.columns * p.steps + step;
    Columns sum;
    clear(sum);
    int64_t entry = begin;
    for (; entry + kTogether <= end; entry += kTogether) {
      float values[kTogether];
      Columns from[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        values[i] = __ldg(p.val + entry + i);
        from[i] = __ldg(x + static_cast<uint64_t>(__ldg(p.col + entry + i)) * p.steps);
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) add(sum, values[i], from[i]);
    }
    for (; entry < end; ++entry)
      add(sum, __ldg(p.val + entry), __ldg(x + static_cast<uint64_t>(__ldg(p.col + entry)) * p.steps));
    reinterpret_cast<Columns *>(p.y)[(matrix * p.rows + row) * p.steps + step] = sum;
  }
}

EDGEKIT_GPU_KERNEL(edgekit_csr_matmul_columns, CudaParams, kCudaThreads) { multiply<float>(p); }
EDGEKIT_GPU_KERNEL(edgekit_csr_matmul_four_columns, CudaParams, kCudaThreads) { multiply<float4>(p); }

struct Products {
  float of[kCudaThreads / kWarp][kCudaProducts];
};

EDGEKIT_GPU_KERNEL(edgekit_csr_matmul_one_column, CudaParams, kCudaThreads) {
  float *products = block_memory<Products>().of[threadIdx.x / kWarp];
  const unsigned lane = threadIdx.x % kWarp, row = blockIdx.x * blockDim.x + threadIdx.x;
  const int64_t begin = p.crow[min(row, p.rows)], end = p.crow[min(row + 1, p.rows)];
  const int64_t first = shuffle(begin, 0), last = shuffle(end, kWarp - 1);
  for (int64_t matrix = blockIdx.y; matrix < p.batch; matrix += gridDim.y) {
    const float *x = p.x + matrix * p.columns;
    float sum = 0;
    for (int64_t some = first; some < last; some += kCudaProducts) {
      const unsigned count = static_cast<unsigned>(min(last - some, static_cast<int64_t>(kCudaProducts)));
#pragma unroll 4
      for (unsigned i = lane; i < count; i += kWarp)
        products[i] = __fmul_rn(__ldg(p.val + some + i), __ldg(x + __ldg(p.col + some + i)));
      sync_warp();
      const int64_t stop = min(end, some + count);
      for (int64_t entry = max(begin, some); entry < stop; ++entry) sum = sum + products[entry - some];
      sync_warp();
    }
    if (row < p.rows) p.y[matrix * p.rows + row] = sum;
  }
}

}  // namespace edgekit::csr_matmul
