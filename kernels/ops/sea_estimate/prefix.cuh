// Linear attention of many rows: sums of each tile of 64 tokens, sums before each tile, then each tile by itself.
#pragma once

#include "pointwise.cuh"
#include "tile.cuh"

namespace edgekit::sea_estimate {

constexpr int kSliceFeatures = 48, kFeaturePitch = kSliceFeatures + 4;

// Where a tile's rows are.
struct Tile {
  int head, first, rows;  // of the call's rows
  int64_t at;             // the place of its first row among all heads' rows
};
inline Tile tile_of(const CudaRows &p) {
  const int head = static_cast<int>(blockIdx.y), first = static_cast<int>(blockIdx.x) * kTileRows;
  return {head, first, min(kTileRows, p.rows - first), head * p.stride + first};
}

// Features are taken in slices of like size.
struct Slices {
  int count, size, features;
  explicit Slices(int features) : features(features) {
    count = (features + kSliceFeatures - 1) / kSliceFeatures;
    size = (features + count - 1) / count;
  }
  int first(int slice) const { return slice * size; }
  int length(int slice) const { return min(size, features - slice * size); }
};

// The sums of a tile, or those before it.
struct Sums {
  float *key_values, *keys, *values;
};
inline Sums sums_of(const CudaRows &p, int tile, int head) {
  const CudaWeights &w = p.weights;
  float *all = p.sums + tile * sums_of_tile(w);
  const int64_t key_values = static_cast<int64_t>(w.features) * 2 * w.size;
  return {all + head * key_values, all + w.heads * key_values + static_cast<int64_t>(head) * w.features,
          all + w.heads * (key_values + w.features) + static_cast<int64_t>(head) * w.size};
}

struct Stage {
  float a[kDepth * kOutputPitch], b[kDepth * kRowPitch];
};

// Features of a tile's rows, 3 of a slice's 48 for 8 rows: zeros beyond both. All threads meet before and after.
inline void make_features(Stage &stage, const float *x, int size, const float *projection, int features, int rows,
                          bool vectors, float (&phi)[3][8]) {
  clear(phi);
  for (int first = 0; first < size; first += kDepth) {
    cuda::sync_block();
    stage_columns<64>(stage.a, kOutputPitch, projection, size, features, first, size, vectors);
    stage_columns<kTileRows>(stage.b, kRowPitch, x, size, rows, first, size, vectors);
    cuda::sync_block();
    multiply(stage.a, kOutputPitch, stage.b, min(kDepth, size - first), phi);
  }
  cuda::sync_block();
#pragma unroll
  for (int output = 0; output < 3; ++output)
#pragma unroll
    for (int row = 0; row < 8; ++row) {
      const bool inside = output_group() * 3 + output < features && first_row(row / 4) + row % 4 < rows;
      phi[output][row] = inside ? feature(phi[output][row]) : 0.0f;
    }
}
inline void make_features(Stage &stage, const float *x, int size, const float *projection, int features, int rows,
                          bool vectors, float *to) {
  float phi[3][8];
  make_features(stage, x, size, projection, features, rows, vectors, phi);
#pragma unroll
  for (int output = 0; output < 3; ++output)
    store_rows(to + (output_group() * 3 + output) * kRowPitch, phi[output]);
  cuda::sync_block();
}

// Stages [E ; v] of 16 of a tile's tokens, columns from `first` on.
inline void stage_values(const CudaRows &p, const Tile &tile, int token, int first, float *to) {
  const int d = p.weights.size;
  const float *positions = p.weights.positions + (p.start_pos + tile.first + token) * d;
  const float *values = p.v + (tile.at + token) * d - d;
  stage_lines(
      to, [&](int column) { return (column < d ? positions : values) + column; }, d, first, 2 * d, tile.rows - token,
      p.vectors);
}

struct SumsMemory {
  Stage stage;
  float phi[kTileRows * kFeaturePitch];  // by token
};

// What a tile's tokens add.
inline void add_tile(const CudaRows &p, SumsMemory &memory) {
  const CudaWeights &w = p.weights;
  const Tile tile = tile_of(p);
  const Sums sums = sums_of(p, static_cast<int>(blockIdx.x), tile.head);
  const int d = w.size, thread = static_cast<int>(threadIdx.x);
  const bool vectors = d % 2 == 0;
  const Slices slices(w.features);
  for (int slice = 0; slice < slices.count; ++slice) {
    const int first = slices.first(slice), length = slices.length(slice);
    float phi[3][8];
    make_features(memory.stage, p.k + tile.at * d, d, w.projection + static_cast<int64_t>(first) * d, length, tile.rows,
                  p.vectors, phi);
#pragma unroll
    for (int row = 0; row < 8; ++row)
#pragma unroll
      for (int output = 0; output < 3; ++output)
        memory.phi[(first_row(row / 4) + row % 4) * kFeaturePitch + output_group() * 3 + output] = phi[output][row];
    cuda::sync_block();
    if (thread < length) {
      float sum = 0;
      for (int token = 0; token < tile.rows; ++token) sum += memory.phi[token * kFeaturePitch + thread];
      sums.keys[first + thread] = sum;
    }
    for (int column = 0; column < 2 * d; column += kTileOutputs) {
      // Here the tile's rows are features: four and two for a thread.
      const int four = static_cast<int>(threadIdx.x) % 8 * 4, two = 32 + static_cast<int>(threadIdx.x) % 8 * 2;
      float sum[6][8];
      clear(sum);
      for (int token = 0; token < tile.rows; token += kDepth) {
        cuda::sync_block();
        stage_values(p, tile, token, column, memory.stage.a);
        cuda::sync_block();
        const float *from = memory.phi + token * kFeaturePitch, *values = memory.stage.a + output_group() * 8;
#pragma unroll 2
        for (int term = 0; term < kDepth; ++term) {
          const float4 a = load4(from + term * kFeaturePitch + four);
          const float2 b = *reinterpret_cast<const float2 *>(from + term * kFeaturePitch + two);
          const float features[6] = {a.x, a.y, a.z, a.w, b.x, b.y};
          float value[8];
          load_outputs(values + term * kOutputPitch, value);
#pragma unroll
          for (int i = 0; i < 6; ++i)
#pragma unroll
            for (int j = 0; j < 8; ++j) sum[i][j] += features[i] * value[j];
        }
      }
#pragma unroll
      for (int i = 0; i < 6; ++i) {
        const int feature = i < 4 ? four + i : two + i - 4, at = column + output_group() * 8;
        if (feature >= length) continue;
        float *to = sums.key_values + static_cast<int64_t>(first + feature) * 2 * d + at;
        put4(to, make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]), 2 * d - at, vectors);
        put4(to + 4, make_float4(sum[i][4], sum[i][5], sum[i][6], sum[i][7]), 2 * d - at - 4, vectors);
      }
    }
  }
  for (int i = thread; i < d; i += kThreads) {
    float sum = 0;
#pragma unroll 8
    for (int token = 0; token < tile.rows; ++token) sum += p.v[(tile.at + token) * d + i];
    sums.values[i] = sum;
  }
}

// Sums of tiles to sums before tiles; the state takes what is before the first, and is given what is after the last.
inline void scan(const CudaRows &p, int64_t place, float *state) {
  constexpr int kAtOnce = 8;
  const int64_t step = sums_of_tile(p.weights);
  float before = p.start_pos == 0 ? 0.0f : *state;
  float *at = p.sums + place;
  for (int tile = 0; tile < p.tiles; tile += kAtOnce) {
    float mine[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) mine[i] = tile + i < p.tiles ? at[(tile + i) * step] : 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (tile + i < p.tiles) at[(tile + i) * step] = before;
      before += mine[i];
    }
  }
  *state = before;
}

// A number of the rows that the convolutions' inputs begin with: those of the last four tokens.
inline void take_row(const CudaRows &p, int64_t place, const float *kept, float *rows) {
  const int64_t size = int64_t{2} * p.weights.heads * p.weights.width;
  const int64_t token = p.start_pos - kHistory + place / size;
  rows[place] = token < 0 ? 0.0f : kept[token % kHistory * size + place % size];
}

inline void begin_rows(const CudaRows &p, int64_t place) {
  const CudaWeights &w = p.weights;
  const int64_t keys = static_cast<int64_t>(w.heads) * w.features, key_values = keys * 2 * w.size;
  const int64_t values = static_cast<int64_t>(w.heads) * w.size, rows = int64_t{kHistory} * 2 * w.heads * w.width;
  if (place < key_values) return scan(p, place, p.state.key_values + place);
  if (place < key_values + keys) return scan(p, place, p.state.keys + (place - key_values));
  const int64_t sums = key_values + keys + values;
  if (place < sums) return scan(p, place, p.state.values + (place - key_values - keys));
  if (place < sums + rows) return take_row(p, place - sums, p.state.conv1_rows, p.channels);
  if (place < sums + 2 * rows) return take_row(p, place - sums - rows, p.state.conv2_rows, p.hidden);
}

struct AttendMemory {
  Stage stage;
  float phi_q[kSliceFeatures * kRowPitch];
  union {
    float phi_k[kSliceFeatures * kRowPitch];
    float weights[kTileRows * kRowPitch];  // of each token in each row
  };
  float below[kTileRows];  // what the rows' contexts are divided by
};

// Weights of the tile's own tokens, and the rows' divisors.
inline void weigh_tile(const CudaRows &p, const Tile &tile, const Sums &before, AttendMemory &memory) {
  const CudaWeights &w = p.weights;
  const int d = w.size, thread = static_cast<int>(threadIdx.x);
  const Slices slices(w.features);
  float sum[4][8], below = 0;
  clear(sum);
  for (int slice = 0; slice < slices.count; ++slice) {
    const int first = slices.first(slice), length = slices.length(slice);
    const float *projection = w.projection + static_cast<int64_t>(first) * d;
    make_features(memory.stage, p.k + tile.at * d, d, projection, length, tile.rows, p.vectors, memory.phi_k);
    make_features(memory.stage, p.q + tile.at * d, d, projection, length, tile.rows, p.vectors, memory.phi_q);
    multiply(memory.phi_k, kRowPitch, memory.phi_q, length, sum);
    if (thread < kTileRows)
      for (int i = 0; i < length; ++i)
        below += memory.phi_q[i * kRowPitch + thread] * (before.keys[first + i] + kKeysEpsilon);
  }
  cuda::sync_block();
#pragma unroll
  for (int output = 0; output < 4; ++output)
    store_rows(memory.weights + (output_group() * 4 + output) * kRowPitch, sum[output]);
  cuda::sync_block();
  if (thread < kTileRows) {
    for (int token = 0; token <= thread; ++token) below += memory.weights[token * kRowPitch + thread];
    memory.below[thread] = below;
  }
}

// Contexts of a tile's rows, and the means of values.
inline void attend_tile(const CudaRows &p, AttendMemory &memory) {
  const CudaWeights &w = p.weights;
  const Tile tile = tile_of(p);
  const Sums before = sums_of(p, static_cast<int>(blockIdx.x), tile.head);
  const int d = w.size, thread = static_cast<int>(threadIdx.x);
  const Slices slices(w.features);
  weigh_tile(p, tile, before, memory);
  for (int column = 0; column < 2 * d; column += kTileOutputs) {
    float sum[8][8];
    clear(sum);
    for (int slice = 0; slice < slices.count; ++slice) {
      const int first = slices.first(slice), length = slices.length(slice);
      if (slices.count > 1)
        make_features(memory.stage, p.q + tile.at * d, d, w.projection + static_cast<int64_t>(first) * d, length,
                      tile.rows, p.vectors, memory.phi_q);
      for (int part = 0; part < length; part += kDepth) {
        const int terms = min(kDepth, length - part);
        const float *from = before.key_values + static_cast<int64_t>(first + part) * 2 * d;
        cuda::sync_block();
        stage_lines(memory.stage.a, [&](int at) { return from + at; }, 2 * d, column, 2 * d, terms, p.vectors);
        cuda::sync_block();
        multiply(memory.stage.a, kOutputPitch, memory.phi_q + part * kRowPitch, terms, sum);
      }
    }
    for (int token = 0; token < tile.rows; token += kDepth) {
      cuda::sync_block();
      stage_values(p, tile, token, column, memory.stage.a);
      cuda::sync_block();
      const float *weights = memory.weights + token * kRowPitch;
      if (token < 32) multiply_causal<false>(memory.stage.a, weights, token, kDepth, sum);
      else multiply_causal<true>(memory.stage.a, weights, token, kDepth, sum);
    }
    const int at = column + output_group() * 8;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = first_row(i / 4) + i % 4;
      if (row >= tile.rows) continue;
      const float scale = 1 / memory.below[row];
      float *to = p.context + (static_cast<int64_t>(tile.head) * p.rows + tile.first + row) * 2 * d + at;
      put4(to, make_float4(sum[0][i] * scale, sum[1][i] * scale, sum[2][i] * scale, sum[3][i] * scale), 2 * d - at,
           d % 2 == 0);
      put4(to + 4, make_float4(sum[4][i] * scale, sum[5][i] * scale, sum[6][i] * scale, sum[7][i] * scale),
           2 * d - at - 4, d % 2 == 0);
    }
  }
  for (int i = thread; i < d; i += kThreads) {
    float sum = before.values[i];
#pragma unroll 8
    for (int row = 0; row < tile.rows; ++row) {
      sum += p.v[(tile.at + row) * d + i];
      p.v_mean[(tile.at + row) * d + i] = sum / static_cast<float>(p.start_pos + tile.first + row + 1);
    }
  }
}

}  // namespace edgekit::sea_estimate
