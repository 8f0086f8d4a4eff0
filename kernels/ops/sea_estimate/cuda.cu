// sea_estimate on a GPU: one token by one cooperative launch, or rows by seven launches, of which each takes what the
// one before it made:
//
//   sums      tiles of 64 tokens of a head: what they add to the state
//   scan      the sums before each tile, and the state after the last; the rows that the convolutions begin with
//   attend    tiles: contexts of linear attention, means of values
//   encode    tiles: encoder, gates and decoder: two channels of a head
//   convolve  blocks of 8 rows, twice; the second's outputs lie where the first's inputs were
//   score     blocks of 4 rows

#include "convolve.cuh"
#include "encode.cuh"
#include "prefix.cuh"
#include "score.cuh"
#include "step.cuh"

namespace edgekit::sea_estimate {

static_assert(sizeof(SumsMemory) <= kSumsShared && sizeof(AttendMemory) <= kAttendShared &&
                  sizeof(ConvolveMemory) <= kConvolveShared && sizeof(Stage) == kStageShared,
              "blocks have the memory that they are launched with");

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_step, CudaStepParams, kStepThreads) {
  estimate_step(p.step, &cuda::block_memory<float>(), p.barrier);
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_sums, CudaRows, kTileThreads, 4) {
  add_tile(p, cuda::block_memory<SumsMemory>());
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_scan, CudaRows, kScanThreads) {
  begin_rows(p, static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_attend, CudaRows, kTileThreads, 3) {
  attend_tile(p, cuda::block_memory<AttendMemory>());
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_encode, CudaRows, kTileThreads, 4) {
  encode_tile(p, cuda::block_memory<EncodeMemory>());
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_convolve, CudaConvolve, kConvolveThreads) {
  convolve_rows(p, cuda::block_memory<ConvolveMemory>());
}

EDGEKIT_GPU_KERNEL(edgekit_sea_estimate_score, CudaRows, kScoreThreads) {
  score_rows(p, &cuda::block_memory<float>());
}

}  // namespace edgekit::sea_estimate
