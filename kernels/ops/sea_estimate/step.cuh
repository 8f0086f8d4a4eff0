// sea_estimate of one token by the blocks of a cooperative launch: device functions, for a kernel of its own (cuda.cu)
// and for one that goes on with the row's scores.
//
//   estimate_step(step, memory, barrier)
//
// All threads of all blocks call it: blocks of any whole number of warps, the same for all, and any number of blocks
// (twice the heads of them have work at the same time). `memory` is the block's, step_shared() bytes at 16 bytes'
// alignment. The blocks meet three times. On return the outputs and the state are written, but not yet seen by other
// blocks: they must meet again (sync_grid) before they read them, and before a block uses its memory otherwise, its
// threads (sync_block).
#pragma once

#include "cuda.h"
#include "pointwise.cuh"

namespace edgekit::sea_estimate {

// Dot products of rows of `weight` (outputs x count) with x: put(output, sum) by one lane. A warp takes four rows at a
// time, and has many numbers under way.
template <typename Put>
void multiply_rows(const float *weight, int outputs, const float *x, int count, Put put) {
  constexpr int kRows = 4, kDeep = 6, kLanes = static_cast<int>(cuda::kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  const int warps = static_cast<int>(blockDim.x) / kLanes;
  for (int first = warp * kRows; first < outputs; first += warps * kRows) {
    float sums[kRows] = {};
    for (int begin = lane; begin < count; begin += kDeep * kLanes) {
      float numbers[kRows][kDeep];
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const float *from = weight + static_cast<int64_t>(min(first + row, outputs - 1)) * count + begin;
#pragma unroll
        for (int i = 0; i < kDeep; ++i) numbers[row][i] = begin + i * kLanes < count ? from[i * kLanes] : 0;
      }
#pragma unroll
      for (int i = 0; i < kDeep; ++i) {
        const float by = begin + i * kLanes < count ? x[begin + i * kLanes] : 0;
#pragma unroll
        for (int row = 0; row < kRows; ++row) sums[row] += numbers[row][i] * by;
      }
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float sum = cuda::sum_lanes(sums[row]);
      if (lane == 0 && first + row < outputs) put(first + row, sum);
    }
  }
}

// How the warps of a block share sums for `columns`: 32 columns a warp, and terms in `parts` where warps are left over.
struct Shares {
  int tiles, parts;
  explicit Shares(int columns) {
    const int lanes = static_cast<int>(cuda::kWarp), warps = static_cast<int>(blockDim.x) / lanes;
    tiles = (columns + lanes - 1) / lanes;
    parts = max(1, warps / tiles);
  }
  // compute(column, begin, end), a part of `terms` terms, to sums[part * columns + column].
  template <typename Compute>
  void run(int columns, int terms, float *sums, Compute compute) const {
    const int lanes = static_cast<int>(cuda::kWarp), lane = static_cast<int>(threadIdx.x) % lanes;
    const int warps = static_cast<int>(blockDim.x) / lanes;
    for (int item = static_cast<int>(threadIdx.x) / lanes; item < tiles * parts; item += warps) {
      const int column = item % tiles * lanes + lane, part = item / tiles;
      if (column < columns)
        sums[part * columns + column] = compute(column, terms * part / parts, terms * (part + 1) / parts);
    }
  }
  float total(const float *sums, int columns, int column) const {
    float sum = 0;
    for (int part = 0; part < parts; ++part) sum += sums[part * columns + column];
    return sum;
  }
};

// A head's sums, code, gates, and two channels.
inline void encode_step(const CudaStep &p, int head, float *memory) {
  const CudaWeights &w = p.weights;
  const int d = w.size, features = w.features, thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  float *q = memory, *k = q + d, *context = k + d;  // of 3 d: [context ; v]
  float *placed = context + 3 * d;                  // of 2 d: [E ; v]
  float *code = placed + 2 * d, *x = code + 2 * d, *total = x + 2 * d;
  float *phi_q = total + d, *phi_k = phi_q + features, *halves = phi_k + features, *sums = halves + 2 * w.width;
  for (int i = thread; i < d; i += threads) {
    q[i] = p.q[head * d + i];
    k[i] = p.k[head * d + i];
    placed[i] = w.positions[p.token * d + i];
    placed[d + i] = context[2 * d + i] = p.v[head * d + i];
  }
  cuda::sync_block();
  multiply_rows(w.projection, features, q, d, [&](int m, float sum) { phi_q[m] = feature(sum); });
  multiply_rows(w.projection, features, k, d, [&](int m, float sum) { phi_k[m] = feature(sum); });
  cuda::sync_block();

  const bool first = p.token == 0;
  constexpr int kDeep = 8;
  const Shares shares(2 * d);
  float *key_values = p.state.key_values + static_cast<int64_t>(head) * features * 2 * d;
  shares.run(2 * d, features, sums, [&](int column, int begin, int end) {
    const float mine = placed[column];
    float sum = 0, numbers[kDeep];
    for (int m = begin; m < end; m += kDeep) {
      float *at = key_values + static_cast<int64_t>(m) * 2 * d + column;
#pragma unroll
      for (int i = 0; i < kDeep; ++i) numbers[i] = m + i < end && !first ? at[i * 2 * d] : 0;
#pragma unroll
      for (int i = 0; i < kDeep; ++i) {
        if (m + i >= end) break;
        const float now = numbers[i] + phi_k[m + i] * mine;
        at[i * 2 * d] = now;
        sum += phi_q[m + i] * now;
      }
    }
    return sum;
  });
  if (thread < static_cast<int>(cuda::kWarp)) {
    float sum = 0;
    for (int m = thread; m < features; m += static_cast<int>(cuda::kWarp)) {
      float *at = p.state.keys + head * features + m;
      const float now = (first ? 0.0f : *at) + phi_k[m];
      *at = now;
      sum += phi_q[m] * (now + kKeysEpsilon);
    }
    sum = cuda::sum_lanes(sum);
    if (thread == 0) *total = sum;
  }
  for (int i = thread; i < d; i += threads) {
    float *at = p.state.values + head * d + i;
    const float now = (first ? 0.0f : *at) + placed[d + i];
    *at = now;
    p.v_mean[head * d + i] = now / static_cast<float>(p.token + 1);
  }
  cuda::sync_block();
  for (int i = thread; i < 2 * d; i += threads) context[i] = shares.total(sums, 2 * d, i) / *total;
  cuda::sync_block();

  multiply_rows(w.encoder_weight, 2 * d, context, 3 * d, [&](int o, float sum) { code[o] = sum + w.encoder_bias[o]; });
  cuda::sync_block();
  const Norm norm = norm_of(code, 2 * d);  // by every warp
  for (int i = thread; i < 2 * d; i += threads)
    x[i] = gelu(norm(code[i], w.encoder_norm_weight[i], w.encoder_norm_bias[i]));
  cuda::sync_block();
  multiply_rows(w.gates_weight, 2, x, 2 * d,
                [&](int o, float sum) { p.gates[2 * head + o] = sigmoid(sum + w.gates_bias[o]); });
  multiply_rows(w.decoder_weight, 2 * w.width, x, 2 * d,
                [&](int o, float sum) { halves[o] = sum + w.decoder_bias[o]; });
  cuda::sync_block();
  const int width = w.width, lane = thread % static_cast<int>(cuda::kWarp);
  for (int half = thread / static_cast<int>(cuda::kWarp); half < 2; half += threads / static_cast<int>(cuda::kWarp)) {
    const Norm row = norm_of(halves + half * width, width);
    for (int i = lane; i < width; i += static_cast<int>(cuda::kWarp))
      p.rows[(2 * head + half) * width + i] = row(halves[half * width + i], w.row_norm_weight[i], w.row_norm_bias[i]);
  }
  // No barrier: the next head's numbers lie elsewhere until its first one.
}

// One output channel of a convolution's row and its ReLU; `before` holds the rows before it.
inline void convolve_step(const CudaStep &p, int output, const float *before, const float *row, const float *weight,
                          const float *bias, float *to, float *memory) {
  const int channels = 2 * p.weights.heads, width = p.weights.width;
  float *factors = memory, *sums = factors + channels * 9;
  for (int i = static_cast<int>(threadIdx.x); i < channels * 9; i += static_cast<int>(blockDim.x))
    factors[i] = weight[static_cast<int64_t>(output) * channels * 9 + i];
  cuda::sync_block();
  const Shares shares(width);
  const float *times[3] = {before + p.token % kHistory * channels * width,
                           before + (p.token + kDilation) % kHistory * channels * width, row};
  shares.run(width, channels, sums, [&](int column, int begin, int end) {
    float sum = 0;
#pragma unroll 2
    for (int c = begin; c < end; ++c) {
      float numbers[9];
#pragma unroll
      for (int i = 0; i < 9; ++i) {
        const int time = i / 3, at = column + (i % 3 - 1) * kDilation;
        const bool inside = p.token >= kHistory - kDilation * time && at >= 0 && at < width;  // nothing before token 0
        numbers[i] = inside ? times[time][c * width + at] : 0;
      }
#pragma unroll
      for (int i = 0; i < 9; ++i) sum += factors[c * 9 + i] * numbers[i];
    }
    return sum;
  });
  cuda::sync_block();
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x))
    to[output * width + i] = relu(shares.total(sums, width, i) + bias[output]);
  cuda::sync_block();
}

// A row to its place in a convolution's state, which nobody reads any more for this token.
inline void keep_row(const CudaStep &p, const float *row, float *rows) {
  const int size = 2 * p.weights.heads * p.weights.width;
  const int threads = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < size; i += threads) {
    rows[p.token % kHistory * size + i] = row[i];
    if (p.token != 0) continue;
    for (int place = 1; place < kHistory; ++place) rows[place * size + i] = 0;
  }
}

// A head's scores of a row of channels.
inline void score_step(const CudaStep &p, int head, const float *row, float *memory) {
  const CudaWeights &w = p.weights;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), channels = 2 * w.heads;
  float *mixed = memory, *cells = mixed + w.width;
  for (int i = thread; i < w.width; i += threads) {
    float sum = 0;
#pragma unroll 8
    for (int c = 0; c < channels; ++c) sum += w.mix_weight[head * channels + c] * row[c * w.width + i];
    mixed[i] = sum;
  }
  cuda::sync_block();
  for (int cell = thread; cell < w.cells; cell += threads) {
    const int start = static_cast<int>(w.map_start[cell]);
    float sum = w.mix_bias[head];
    for (int tap = 0; tap < w.taps; ++tap) sum += w.map_weight[cell * w.taps + tap] * mixed[start + tap];
    cells[cell] = sum;
  }
  cuda::sync_block();
  const Norm norm = norm_of(cells, w.cells);  // by every warp
  for (int cell = thread; cell < w.cells; cell += threads)
    p.scores[head * w.cells + cell] = norm(cells[cell], w.score_norm_weight[cell], w.score_norm_bias[cell]);
  cuda::sync_block();
}

inline void estimate_step(const CudaStep &p, float *memory, cuda::GridBarrier *barrier) {
  const CudaWeights &w = p.weights;
  const int heads = w.heads, channels = 2 * heads, block = static_cast<int>(blockIdx.x);
  const int blocks = static_cast<int>(gridDim.x);
  float *row = p.rows, *h1 = row + channels * w.width, *h2 = h1 + channels * w.width;
  for (int head = block; head < heads; head += blocks) encode_step(p, head, memory);
  cuda::sync_grid(barrier);
  for (int output = block; output < channels; output += blocks)
    convolve_step(p, output, p.state.conv1_rows, row, w.conv1_weight, w.conv1_bias, h1, memory);
  cuda::sync_grid(barrier);
  keep_row(p, row, p.state.conv1_rows);
  for (int output = block; output < channels; output += blocks)
    convolve_step(p, output, p.state.conv2_rows, h1, w.conv2_weight, w.conv2_bias, h2, memory);
  cuda::sync_grid(barrier);
  keep_row(p, h1, p.state.conv2_rows);
  for (int head = block; head < heads; head += blocks) score_step(p, head, h2, memory);
}

}  // namespace edgekit::sea_estimate
