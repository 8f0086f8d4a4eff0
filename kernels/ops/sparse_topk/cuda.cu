// sparse_topk on a GPU: a row's numbers are read once, into the registers of a warp.
//
// A warp a row, for rows of 3072 numbers and k of 128 at most. There is no barrier, and nothing is shared but places:
//   1  load: 16 bytes a lane at a time; a lane has 8, 32 or 96 numbers (three kernels), NaN after the row's end
//   2  a bound that at least k numbers reach and few more: the k-th largest, or one soon after it, of the largest of
//      every lane's 8 or 12 groups (cuda/select.cuh). Of 3072 random numbers, with k = 96, 112 reach it, and more than
//      128 in one row of a thousand
//   3  candidates, those that reach it: a bit for each number, places into the block's memory
//      (more than 128, as where many are equal: the exact cut instead, from the registers)
//   4  rank: the candidates' keys are loaded by their places (from the cache) and sorted in 32 bits. With a half goes
//      its place, with a float's key above the bound's the candidate's number; floats that are equal or far apart
//      are sorted in 64 bits
//   5  put: values from the row once more, as -0 and NaN are to keep their bits
// Not sorted means by place, ascending: what was ranked is then sorted by place.
//
// Arithmetic, unmeasured, sm_90's code as compiled by NVRTC 12.6, sorted, float32:
//   (n, k)        instructions a row and warp                                        bytes a row
//   (3072, 96)    load 220, bound 130 + 6 rounds of 37, candidates 200 + 200,        12288 read, 1152 written
//                 rank 400, put 150: 1600
//   (256, 32)     load 50, bound 60 + 7 rounds of 29, candidates 50 + 75, rank 90,   1024 read, 384 written
//                 put 60: 600
// 127 registers let 16 warps live on a multiprocessor: 196 KB of rows under way; an H100's memory needs some 20 KB.
// (8192, 3072, 96) has 62 rows a multiprocessor: 99000 instructions of a warp, 23 us at 1.755 GHz and 2.5 of the 4 a
// clock can start; 110 MB take 33 us at 3.35 TB/s. Loads and arithmetic of different warps overlap: 40 to 50 us, 65 to
// 80 % of the floor. (2048, 3072, 96) is one wave of warps, 26 MB: 8 us, and a warp's latency of 5 us: 13 us.
// (4096, 256, 32) is one wave too, 5.8 MB: 2 us, 31 * 600 instructions a multiprocessor: 4 us, latency 2 us: 6 us.
// To each comes a launch's 2 to 3 us. On an AGX Orin (16 multiprocessors, 204.8 GB/s) memory decides: (8192, 3072, 96)
// takes 540 us of memory's time and 390 us of arithmetic at 1.3 GHz and 2.5 instructions a clock.
//
// A block a row, for others: read twice, the second time from the cache. Groups' largest as above, candidates through
// one counter into the block's memory, sorted there (log2(size)^2 / 2 steps with a barrier each; up to 128 by a warp).
// More candidates than there is room for: the cut by three histograms of the keys' bits, whatever the numbers are, and
// a pass that takes numbers in order; without sorting straight to the output, so that k has no limit.

#include "by_block.cuh"
#include "by_warp.cuh"

namespace edgekit::sparse_topk {

// Blocks at once that registers suffice for: with 8, ptxas spills for sm_87.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr unsigned kLargeHalves = 6;
#else
constexpr unsigned kLargeHalves = 8;
#endif

#define EDGEKIT_WARP_KERNEL(T, name, each, groups, blocks)                                      \
  EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_##name, CudaParams, kCudaRows * kWarp, blocks) {      \
    select_by_warp<T, each, groups>(p);                                                        \
  }
EDGEKIT_WARP_KERNEL(float, float32_small, kCudaSmall, 8, 16)
EDGEKIT_WARP_KERNEL(float, float32_middle, kCudaMiddle, 8, 12)
EDGEKIT_WARP_KERNEL(float, float32_large, kCudaLarge, 12, 8)
EDGEKIT_WARP_KERNEL(uint16_t, float16_small, kCudaSmall, 8, 16)
EDGEKIT_WARP_KERNEL(uint16_t, float16_middle, kCudaMiddle, 8, 12)
EDGEKIT_WARP_KERNEL(uint16_t, float16_large, kCudaLarge, 12, kLargeHalves)

EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_float32_block, CudaParams, kCudaThreads, 2) { select_by_block<float>(p); }
EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_float16_block, CudaParams, kCudaThreads, 2) { select_by_block<uint16_t>(p); }

}  // namespace edgekit::sparse_topk
