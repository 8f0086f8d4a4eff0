// The estimator's encoder, gates and decoder: a tile of 64 rows of a head.
#pragma once

#include "prefix.cuh"

namespace edgekit::sea_estimate {

// Followed by the code, and where it has more than one tile of outputs by the halves: numbers by row.
struct EncodeMemory {
  Stage stage;
  float numbers[kRowPitch];
};

// sum += weight (outputs x all) from term `offset` on, times `terms` numbers of lines of memory.
inline void multiply_lines(Stage &stage, const float *weight, int all, int offset, int outputs, const float *lines,
                           int terms, int rows, bool vectors, float (&sum)[8][8]) {
  for (int first = 0; first < terms; first += kDepth) {
    cuda::sync_block();
    stage_columns<kTileOutputs>(stage.a, kOutputPitch, weight + offset, all, outputs, first, terms, vectors);
    stage_columns<kTileRows>(stage.b, kRowPitch, lines, terms, rows, first, terms, vectors);
    cuda::sync_block();
    multiply(stage.a, kOutputPitch, stage.b, min(kDepth, terms - first), sum);
  }
}

// A thread's outputs plus bias to numbers by row.
inline void store_outputs(float *to, const float *bias, int outputs, const float (&sum)[8][8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int output = output_group() * 8 + i;
    if (output >= outputs) continue;
    float rows[8];
#pragma unroll
    for (int row = 0; row < 8; ++row) rows[row] = sum[i][row] + bias[output];
    store_rows(to + output * kRowPitch, rows);
  }
}

inline float sum_numbers(const float *numbers, int count) {
  float sum = 0;
#pragma unroll 4
  for (int i = 0; i < count; ++i) sum += numbers[i * kRowPitch];
  return sum;
}
inline float sum_squares(const float *numbers, int count, float mean) {
  float sum = 0;
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const float apart = numbers[i * kRowPitch] - mean;
    sum += apart * apart;
  }
  return sum;
}

// Layer norm and GELU of each row's 2 d numbers; `parts` has room for a number of each thread, twice.
inline void norm_code(const CudaWeights &w, float *code, float *parts) {
  const int d = w.size, thread = static_cast<int>(threadIdx.x), row = thread % kTileRows;
  const int half = thread / kTileRows;  // of the row's numbers: two threads have a row
  float *mine = code + half * d * kRowPitch + row;
  parts[thread] = sum_numbers(mine, d);
  cuda::sync_block();
  const float count = static_cast<float>(2 * d), mean = (parts[row] + parts[kTileRows + row]) / count;
  parts[kThreads + thread] = sum_squares(mine, d, mean);
  cuda::sync_block();
  const float squares = parts[kThreads + row] + parts[kThreads + kTileRows + row];
  const Norm norm{mean, 1 / sqrtf(squares / count + kNormEpsilon)};
#pragma unroll 2
  for (int i = 0; i < d; ++i)
    mine[i * kRowPitch] = gelu(
        norm(mine[i * kRowPitch], w.encoder_norm_weight[half * d + i], w.encoder_norm_bias[half * d + i]));
  cuda::sync_block();
}

// Writes the two channels of each row, layer norms of the halves; `parts` as before.
inline void put_channels(const CudaRows &p, const Tile &tile, const float *halves, float *parts) {
  const CudaWeights &w = p.weights;
  const int width = w.width, thread = static_cast<int>(threadIdx.x);
  const int half = thread / kTileRows;
  const float *mine = halves + half * width * kRowPitch + thread % kTileRows, count = static_cast<float>(width);
  const float mean = sum_numbers(mine, width) / count;
  parts[thread] = mean;
  parts[kThreads + thread] = 1 / sqrtf(sum_squares(mine, width, mean) / count + kNormEpsilon);
  cuda::sync_block();
  float *to = p.channels + static_cast<int64_t>(kHistory + tile.first) * 2 * w.heads * width + 2 * tile.head * width;
  const int step = 2 * w.heads * width;  // from row to row
  if (width % 4 != 0) {
    for (int item = thread; item < tile.rows * 2 * width; item += kThreads) {
      const int row = item / (2 * width), output = item % (2 * width), place = output % width;
      const int which = output / width * kTileRows + row;
      const Norm norm{parts[which], parts[kThreads + which]};
      to[static_cast<int64_t>(row) * step + output] =
          norm(halves[output * kRowPitch + row], w.row_norm_weight[place], w.row_norm_bias[place]);
    }
    return;
  }
  for (int first = output_group() * 8; first < 2 * width; first += kTileOutputs) {
    for (int four = first; four < min(first + 8, 2 * width); four += 4) {
      const int place = four % width, of_half = four / width * kTileRows;
      float weight[4], bias[4], numbers[4][8];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weight[i] = w.row_norm_weight[place + i];
        bias[i] = w.row_norm_bias[place + i];
        load_rows(halves + (four + i) * kRowPitch, numbers[i]);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int row = first_row(i / 4) + i % 4;
        if (row >= tile.rows) continue;
        const Norm norm{parts[of_half + row], parts[kThreads + of_half + row]};
        store4(to + static_cast<int64_t>(row) * step + four,
               make_float4(norm(numbers[0][i], weight[0], bias[0]), norm(numbers[1][i], weight[1], bias[1]),
                           norm(numbers[2][i], weight[2], bias[2]), norm(numbers[3][i], weight[3], bias[3])));
      }
    }
  }
}

inline void encode_tile(const CudaRows &p, EncodeMemory &memory) {
  const CudaWeights &w = p.weights;
  const Tile tile = tile_of(p);
  const int d = w.size, thread = static_cast<int>(threadIdx.x);
  float *code = memory.numbers, *parts = memory.stage.a;
  const float *context = p.context + (static_cast<int64_t>(tile.head) * p.rows + tile.first) * 2 * d;
  for (int first = 0; first < 2 * d; first += kTileOutputs) {
    const int outputs = min(kTileOutputs, 2 * d - first);
    const float *weight = w.encoder_weight + static_cast<int64_t>(first) * 3 * d;
    float sum[8][8];
    clear(sum);
    multiply_lines(memory.stage, weight, 3 * d, 0, outputs, context, 2 * d, tile.rows, p.vectors, sum);
    multiply_lines(memory.stage, weight, 3 * d, 2 * d, outputs, p.v + tile.at * d, d, tile.rows, p.vectors, sum);
    store_outputs(code + first * kRowPitch, w.encoder_bias + first, outputs, sum);
  }
  cuda::sync_block();
  norm_code(w, code, parts);

  const int row = thread % kTileRows, gate = thread / kTileRows;
  float sum = w.gates_bias[gate];
#pragma unroll 4
  for (int i = 0; i < 2 * d; ++i) sum += code[i * kRowPitch + row] * w.gates_weight[gate * 2 * d + i];
  if (row < tile.rows) p.gates[2 * (tile.at + row) + gate] = sigmoid(sum);

  // One tile of outputs: the halves may lie where the code was.
  const bool whole = 2 * w.width <= kTileOutputs;
  float *halves = whole ? code : code + 2 * d * kRowPitch;
  for (int first = 0; first < 2 * w.width; first += kTileOutputs) {
    const int outputs = min(kTileOutputs, 2 * w.width - first);
    const float *weight = w.decoder_weight + static_cast<int64_t>(first) * 2 * d;
    float product[8][8];
    clear(product);
    for (int term = 0; term < 2 * d; term += kDepth) {
      cuda::sync_block();
      stage_columns<kTileOutputs>(memory.stage.a, kOutputPitch, weight, 2 * d, outputs, term, 2 * d, p.vectors);
      cuda::sync_block();
      multiply(memory.stage.a, kOutputPitch, code + term * kRowPitch, min(kDepth, 2 * d - term), product);
    }
    cuda::sync_block();
    store_outputs(halves + first * kRowPitch, w.decoder_bias + first, outputs, product);
  }
  cuda::sync_block();
  put_channels(p, tile, halves, parts);
}

}  // namespace edgekit::sea_estimate
