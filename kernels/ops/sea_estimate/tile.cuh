// Products of matrices by tiles: a block of 128 threads has 64 rows by up to 128 outputs, a thread 8 rows by up to 8
// outputs in registers. Operands come from the block's memory, their terms one after the other: a[term][output] and
// b[term][row]; what lies otherwise is staged there 16 terms at a time.
#pragma once

#include "cuda.h"
#include "cuda/device.cuh"

namespace edgekit::sea_estimate {

constexpr int kTileRows = static_cast<int>(kTile), kTileOutputs = 128, kDepth = 16;
constexpr int kThreads = static_cast<int>(kTileThreads);
// Numbers from one term to the next: multiples of four for float4, and so that transposing spreads over the banks.
constexpr int kRowPitch = static_cast<int>(kTilePitch), kOutputPitch = kTileOutputs + 4;

// A thread's outputs begin at its group's, a number of the product's outputs per group; its rows are two fours.
inline int output_group() { return static_cast<int>(threadIdx.x) / 8; }  // 0 to 15
inline int first_row(int four) { return four * 32 + static_cast<int>(threadIdx.x) % 8 * 4; }

inline float4 load4(const float *from) { return *reinterpret_cast<const float4 *>(from); }
inline void store4(float *to, float4 numbers) { *reinterpret_cast<float4 *>(to) = numbers; }

inline void load_rows(const float *from, float (&rows)[8]) {
#pragma unroll
  for (int four = 0; four < 2; ++four) {
    const float4 numbers = load4(from + first_row(four));
    rows[4 * four] = numbers.x;
    rows[4 * four + 1] = numbers.y;
    rows[4 * four + 2] = numbers.z;
    rows[4 * four + 3] = numbers.w;
  }
}
inline void store_rows(float *to, const float (&rows)[8]) {
#pragma unroll
  for (int four = 0; four < 2; ++four)
    store4(to + first_row(four),
           make_float4(rows[4 * four], rows[4 * four + 1], rows[4 * four + 2], rows[4 * four + 3]));
}
template <int kOutputs>
void load_outputs(const float *from, float (&outputs)[kOutputs]) {
  if constexpr (kOutputs % 4 == 0) {
#pragma unroll
    for (int output = 0; output < kOutputs; output += 4) {
      const float4 numbers = load4(from + output);
      outputs[output] = numbers.x;
      outputs[output + 1] = numbers.y;
      outputs[output + 2] = numbers.z;
      outputs[output + 3] = numbers.w;
    }
  } else {
#pragma unroll
    for (int output = 0; output < kOutputs; ++output) outputs[output] = from[output];
  }
}

// sum[output][row] += a[term][output] b[term][row]. `a` has 16 groups of kOutputs.
template <int kOutputs>
void multiply(const float *a, int pitch, const float *b, int terms, float (&sum)[kOutputs][8]) {
  a += output_group() * kOutputs;
#pragma unroll 2
  for (int term = 0; term < terms; ++term) {
    float outputs[kOutputs], rows[8];
    load_outputs(a + term * pitch, outputs);
    load_rows(b + term * kRowPitch, rows);
#pragma unroll
    for (int output = 0; output < kOutputs; ++output)
#pragma unroll
      for (int row = 0; row < 8; ++row) sum[output][row] += outputs[output] * rows[row];
  }
}

// Likewise, where term t belongs to rows t and later only: others are not so much as multiplied, for NaN's sake.
// `first` is the first term's place: all of them are below 32, or none (kLate: then the first 32 rows need nothing).
template <bool kLate>
void multiply_causal(const float *a, const float *b, int first, int terms, float (&sum)[8][8]) {
  a += output_group() * 8;
  constexpr int kMasked = kLate ? 4 : 0;  // the four rows among which a term begins to count
  const int row = first_row(kMasked / 4);
#pragma unroll 2
  for (int term = 0; term < terms; ++term) {
    float outputs[8], rows[8];
    load_outputs(a + term * kOutputPitch, outputs);
    load_rows(b + term * kRowPitch, rows);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first + term <= row + i) {
#pragma unroll
        for (int output = 0; output < 8; ++output) sum[output][kMasked + i] += outputs[output] * rows[kMasked + i];
      }
      if (!kLate) {
#pragma unroll
        for (int output = 0; output < 8; ++output) sum[output][4 + i] += outputs[output] * rows[4 + i];
      }
    }
  }
}

template <int kOutputs>
void clear(float (&sum)[kOutputs][8]) {
#pragma unroll
  for (int output = 0; output < kOutputs; ++output)
#pragma unroll
    for (int row = 0; row < 8; ++row) sum[output][row] = 0;
}

// Stages lines of memory as columns: to[term][line] of 16 terms from `first`; `vectors`: lines are aligned for float4,
// and multiples of it. Beyond `count` lines and `terms` terms the last ones stand again: products leave such outputs,
// rows and terms alone.
template <int kLines>
void stage_columns(float *to, int pitch, const float *lines, int stride, int count, int first, int terms,
                   bool vectors) {
  constexpr int kApart = kThreads / 4, kEach = kLines / kApart;
  static_assert(kLines % kApart == 0, "every thread has as many");
  const int term = static_cast<int>(threadIdx.x) % 4 * 4, line = static_cast<int>(threadIdx.x) / 4;
  float4 numbers[kEach];
  if (vectors) {
    const float *from = lines + min(first + term, terms - 4);
#pragma unroll
    for (int i = 0; i < kEach; ++i) numbers[i] = load4(from + min(line + i * kApart, count - 1) * stride);
  } else {
    int at[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) at[j] = min(first + term + j, terms - 1);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const float *from = lines + min(line + i * kApart, count - 1) * stride;
      numbers[i] = make_float4(from[at[0]], from[at[1]], from[at[2]], from[at[3]]);
    }
  }
  to += term * pitch + line;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    to[i * kApart] = numbers[i].x;
    to[pitch + i * kApart] = numbers[i].y;
    to[2 * pitch + i * kApart] = numbers[i].z;
    to[3 * pitch + i * kApart] = numbers[i].w;
  }
}

// Stages 16 lines as they lie: to[line][column] of 128 columns from `first`. at(column) is where the first line's
// number lies, of `columns`. Beyond `count` lines and `columns` the last ones stand again. `vectors` as above.
template <typename At>
void stage_lines(float *to, At at, int stride, int first, int columns, int count, bool vectors) {
  constexpr int kApart = kThreads / (kTileOutputs / 4), kEach = kDepth / kApart;
  const int column = static_cast<int>(threadIdx.x) % 32 * 4, line = static_cast<int>(threadIdx.x) / 32;
  float4 numbers[kEach];
  if (vectors) {
    const float *from = at(min(first + column, columns - 4));
#pragma unroll
    for (int i = 0; i < kEach; ++i) numbers[i] = load4(from + min(line + i * kApart, count - 1) * stride);
  } else {
    const float *from[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) from[j] = at(min(first + column + j, columns - 1));
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int by = min(line + i * kApart, count - 1) * stride;
      numbers[i] = make_float4(from[0][by], from[1][by], from[2][by], from[3][by]);
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) store4(to + (line + i * kApart) * kOutputPitch + column, numbers[i]);
}

// Up to four numbers to where lines have room for `left`; `vectors`: that is a multiple of four, and aligned.
inline void put4(float *to, float4 numbers, int left, bool vectors) {
  if (vectors) {
    if (left > 0) store4(to, numbers);
    return;
  }
  if (left > 0) to[0] = numbers.x;
  if (left > 1) to[1] = numbers.y;
  if (left > 2) to[2] = numbers.z;
  if (left > 3) to[3] = numbers.w;
}

}  // namespace edgekit::sea_estimate
