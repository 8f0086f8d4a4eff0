// From channels to scores: a block has four rows of all heads, a warp then one row of a head at a time.
#pragma once

#include "pointwise.cuh"
#include "tile.cuh"

namespace edgekit::sea_estimate {

constexpr int kMixedHeads = static_cast<int>(kMixGroup);

// Cells' parameters in the block's memory.
struct Map {
  const float *weight, *norm_weight, *norm_bias;
  const int *start;
};

// Mixes `channels` numbers, `width` apart, to the places of all heads: a thread has a place of a row.
inline void mix_rows(const CudaWeights &w, const float *channels, int rows, const float *factors, float *mixed) {
  const int count = 2 * w.heads, pitch = static_cast<int>(mix_pitch(w));
  for (int item = static_cast<int>(threadIdx.x); item < rows * w.width; item += static_cast<int>(blockDim.x)) {
    const int row = item / w.width, place = item % w.width;
    const float *from = channels + static_cast<int64_t>(row) * count * w.width + place;
    for (int head = 0; head < w.heads; head += kMixedHeads) {
      float sum[kMixedHeads] = {};
#pragma unroll 4
      for (int c = 0; c < count; ++c) {
        float by[kMixedHeads];
        load_outputs(factors + c * pitch + head, by);
        const float number = from[c * w.width];
#pragma unroll
        for (int i = 0; i < kMixedHeads; ++i) sum[i] += by[i] * number;
      }
#pragma unroll
      for (int i = 0; i < kMixedHeads; ++i)
        if (head + i < w.heads) mixed[(row * w.heads + head + i) * w.width + place] = sum[i];
    }
  }
}

// A row of a head by a warp; `cells` are the warp's.
template <int kTapsOfCell>
void score_row(const CudaWeights &w, const Map &map, const float *mixed, float bias, float *cells, float *scores) {
  const int lane = static_cast<int>(threadIdx.x % cuda::kWarp);
  for (int cell = lane; cell < w.cells; cell += static_cast<int>(cuda::kWarp)) {
    const float *from = mixed + map.start[cell], *by = map.weight + cell * kTapsOfCell;
    float sum = bias;
#pragma unroll
    for (int tap = 0; tap < kTapsOfCell; ++tap) sum += by[tap] * from[tap];
    cells[cell] = sum;  // that this lane alone reads
  }
  const Norm norm = norm_of(cells, w.cells);
  for (int cell = lane; cell < w.cells; cell += static_cast<int>(cuda::kWarp))
    scores[cell] = norm(cells[cell], map.norm_weight[cell], map.norm_bias[cell]);
}

inline void score_rows(const CudaRows &p, float *memory) {
  const CudaWeights &w = p.weights;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int channels = 2 * w.heads, pitch = static_cast<int>(mix_pitch(w)), lanes = static_cast<int>(cuda::kWarp);
  const int first = static_cast<int>(blockIdx.x * kScoreRows);
  const int rows = min(static_cast<int>(kScoreRows), p.rows - first);
  float *factors = memory, *mixed = factors + channels * pitch;
  float *map_weight = mixed + static_cast<int>(kScoreRows) * w.heads * w.width;
  float *norm_weight = map_weight + w.cells * w.taps, *norm_bias = norm_weight + w.cells;
  int *start = reinterpret_cast<int *>(norm_bias + w.cells);
  float *cells = norm_bias + 2 * w.cells + thread / lanes * w.cells;
  for (int i = thread; i < channels * pitch; i += threads) {
    const int head = i % pitch;
    factors[i] = head < w.heads ? w.mix_weight[head * channels + i / pitch] : 0;
  }
  for (int i = thread; i < w.cells * w.taps; i += threads) map_weight[i] = w.map_weight[i];
  for (int i = thread; i < w.cells; i += threads) {
    norm_weight[i] = w.score_norm_weight[i];
    norm_bias[i] = w.score_norm_bias[i];
    start[i] = static_cast<int>(w.map_start[i]);
  }
  cuda::sync_block();
  mix_rows(w, p.channels + static_cast<int64_t>(first) * channels * w.width, rows, factors, mixed);
  cuda::sync_block();
  const Map map{map_weight, norm_weight, norm_bias, start};
  for (int item = thread / lanes; item < rows * w.heads; item += threads / lanes) {
    const int row = item / w.heads, head = item % w.heads;
    const float *from = mixed + item * w.width;
    float *to = p.scores + (head * p.stride + first + row) * w.cells;
    if (w.taps == 3) score_row<3>(w, map, from, w.mix_bias[head], cells, to);
    else if (w.taps == 2) score_row<2>(w, map, from, w.mix_bias[head], cells, to);
    else score_row<1>(w, map, from, w.mix_bias[head], cells, to);
  }
}

}  // namespace edgekit::sea_estimate
