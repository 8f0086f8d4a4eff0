// sea_estimate on a GPU: what its kernels are given. Pointers are the device's.
#pragma once

#include "cuda/types.h"

namespace edgekit::cuda {
struct GridBarrier;
}

namespace edgekit::sea_estimate {

// edgekit_sea_weights, where sizes are int.
struct CudaWeights {
  int heads, size, features, width, cells, taps;
  const float *projection, *positions;
  const float *encoder_weight, *encoder_bias, *encoder_norm_weight, *encoder_norm_bias;
  const float *gates_weight, *gates_bias;
  const float *decoder_weight, *decoder_bias;
  const float *row_norm_weight, *row_norm_bias;
  const float *conv1_weight, *conv1_bias, *conv2_weight, *conv2_bias;
  const float *mix_weight, *mix_bias, *map_weight;
  const int64_t *map_start;
  const float *score_norm_weight, *score_norm_bias;
};

// edgekit_sea_state.
struct CudaState {
  float *key_values, *keys, *values, *conv1_rows, *conv2_rows;
};

// One token of a sequence: what estimate_step (step.cuh) is given.
struct CudaStep {
  CudaWeights weights;
  CudaState state;
  const float *q, *k, *v;           // heads x size
  float *scores, *gates, *v_mean;   // heads x cells, heads x 2, heads x size
  float *rows;                      // step_scratch() bytes of device memory
  int64_t token;                    // its place in the sequence; 0: the state is not read
};

struct CudaStepParams {
  CudaStep step;
  cuda::GridBarrier *barrier;
};

constexpr unsigned kStepThreads = 256;

// Rows of a sequence, as many as scratch has room for.
struct CudaRows {
  CudaWeights weights;
  CudaState state;
  const float *q, *k, *v;          // the first row's of the first head; heads are `stride` rows apart
  float *scores, *gates, *v_mean;  // likewise
  int64_t stride, start_pos;
  int rows, tiles;
  bool vectors;              // lines of q, k, v and of the tiles' weights are for float4
  float *sums;               // tiles x sums_of_tile()
  float *context;            // heads x rows x 2 size
  float *channels, *hidden;  // (4 + rows) x channels x width: the convolutions' inputs, the last four tokens' first
};

// Tiles of rows of a head: a product's thread has 8 rows by 8 outputs.
constexpr unsigned kTile = 64, kTileThreads = 128, kTilePitch = kTile + 4;

// One convolution of those rows. `kept` is what the state keeps of its inputs.
struct CudaConvolve {
  const float *input, *weight, *bias;
  float *output, *kept;  // rows x channels x width
  int64_t start_pos;
  int channels, width, rows;
};

// A thread convolves 4 places of 12 outputs, a block 64 places of 24 outputs in 8 rows, 8 inputs at a time.
constexpr unsigned kConvolveThreads = 256, kConvolveRows = 8, kConvolvePlaces = 64, kConvolveOutputs = 24;

// A block scores 4 rows, and mixes 12 heads at a time.
constexpr unsigned kScoreThreads = 256, kScoreRows = 4, kMixGroup = 12;
constexpr size_t mix_pitch(const CudaWeights &w) {
  return (static_cast<size_t>(w.heads) + kMixGroup - 1) / kMixGroup * kMixGroup;
}

constexpr unsigned kScanThreads = 128;

// What a tile's tokens add to the state, in numbers: key_values, keys and values, each of all heads.
constexpr int64_t sums_of_state(const CudaWeights &w) {
  return static_cast<int64_t>(w.heads) * (static_cast<int64_t>(w.features) * (2 * w.size + 1) + w.size);
}
// From one tile's to the next's: aligned for float4.
constexpr int64_t sums_of_tile(const CudaWeights &w) { return (sums_of_state(w) + 3) / 4 * 4; }

constexpr size_t larger(size_t a, size_t b) { return a < b ? b : a; }

// Device memory of a step, in bytes: a row of the convolutions' inputs and outputs.
constexpr size_t step_scratch(const CudaWeights &w) {
  return size_t{3} * 2 * static_cast<size_t>(w.heads) * static_cast<size_t>(w.width) * sizeof(float);
}

// Memory of a block that takes a step, in bytes; `threads` of the block.
constexpr size_t step_shared(const CudaWeights &w, unsigned threads) {
  const size_t heads = w.heads, size = w.size, features = w.features, width = w.width, cells = w.cells;
  const size_t encoding = 14 * size + 2 * features + 2 * width + threads;
  const size_t convolving = 18 * heads + width + threads;
  return larger(larger(encoding, convolving), width + cells) * sizeof(float);
}

// Memory of blocks, in bytes (cuda.cu compares).
constexpr size_t kStageShared = sizeof(float) * 16 * (kTilePitch + 132);
constexpr size_t kSumsShared = kStageShared + sizeof(float) * kTile * 52;
constexpr size_t kAttendShared = kStageShared + sizeof(float) * (48 * kTilePitch + kTile * kTilePitch + kTile);
constexpr size_t kConvolveShared = sizeof(float) * ((kConvolveRows + 4) * 8 * (kConvolvePlaces + 4) + 8 * 9 * 28);
constexpr size_t encode_shared(const CudaWeights &w) {
  const size_t code = 2 * static_cast<size_t>(w.size), halves = 2 * static_cast<size_t>(w.width);
  const size_t numbers = halves <= 128 ? larger(code, halves) : code + halves;
  return kStageShared + sizeof(float) * numbers * kTilePitch;
}
constexpr size_t score_shared(const CudaWeights &w) {
  const size_t heads = w.heads, width = w.width, cells = w.cells, taps = w.taps;
  const size_t warps = kScoreThreads / 32;
  return sizeof(float) * (2 * heads * mix_pitch(w) + kScoreRows * heads * width + cells * (taps + 3 + warps));
}

}  // namespace edgekit::sea_estimate

#ifndef __CUDACC_RTC__
#include "cuda/queue.h"
#include "edgekit/ops.h"

namespace edgekit::sea_estimate {

CudaWeights cuda_weights(const edgekit_sea_weights &weights);
inline CudaState cuda_state(const edgekit_sea_state &state) {
  return {state.key_values, state.keys, state.values, state.conv1_rows, state.conv2_rows};
}

// Estimates in the GPU's order; pointers are the device's. False: the sizes are not for these kernels, nothing was
// launched; or a launch failed.
bool enqueue(cuda::Queue &queue, const edgekit_sea_weights &weights, const edgekit_sea_state &state, const float *q,
             const float *k, const float *v, int64_t rows, int64_t start_pos, float *scores, float *gates,
             float *v_mean);

}  // namespace edgekit::sea_estimate
#endif
