// The sum itself, in registers: up to four channels of the output times a few vectors of eight columns.
//
// The output is cut into patches whose input, zeros around it included, a thread copies to its scratch: no edges are
// left for the inner loop. The vectors of a patch, in whatever row, are taken a few at a time.
#pragma once

#include "../common/part.h"
#include "../common/work.h"
#include "conv2d.h"
#include "rows.h"

namespace edgekit::conv2d {

template <typename Simd>
class Direct {
 public:
  static void run(const edgekit_context &context, const Problem &p, const Plan &plan) {
    const int64_t groups = (p.o + kGroup - 1) / kGroup, kernel = p.kh * p.kw;
    float *weights = static_cast<float *>(context.scratch);
    share(context, groups, 1 + kGrain / (p.c * kernel * kGroup), [&](int, int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) pack(p, group * kGroup, weights);
    });

    const int64_t down = (p.out_h + plan.rows - 1) / plan.rows, across = (p.out_w + plan.columns - 1) / plan.columns;
    const int64_t work = plan.rows * plan.columns * p.c * kernel * kGroup;
    char *scratch = static_cast<char *>(context.scratch) + plan.shared;
    share(context, p.n * down * across * groups, 1 + kGrain / work, [&](int task, int64_t begin, int64_t end) {
      float *input = reinterpret_cast<float *>(scratch + static_cast<size_t>(task) * plan.per_thread);
      int64_t copied = -1;
      Patch patch{};
      for (int64_t item = begin; item < end; ++item) {
        const int64_t place = item / groups, first = item % groups * kGroup;
        if (place != copied) {
          patch = {place / across / down, place / across % down * plan.rows, place % across * plan.columns,
                   plan.rows, plan.columns, plan.columns + p.kw - 1};
          patch.rows = std::min(patch.rows, p.out_h - patch.row);
          patch.columns = std::min(patch.columns, p.out_w - patch.column);
          copy(p, patch, input);
          copied = place;
        }
        const float *packed = weights + first * p.c * kernel;
        if (p.o - first >= 3) {
          channels<4, 3>(p, patch, input, packed, first);
        } else if (p.o - first == 2) {
          channels<2, 6>(p, patch, input, packed, first);
        } else {
          channels<1, 8>(p, patch, input, packed, first);
        }
      }
    });
  }

 private:
  using V = typename Simd::Floats;
  static constexpr int64_t kGroup = kDirectGroup;

  struct Patch {
    int64_t image, row, column, rows, columns;
    int64_t pitch;  // floats from row to row of its input
  };

  // A group's weights: channel, row, column, then the group's channels of the output, with zeros if they are three.
  static void pack(const Problem &p, int64_t first, float *weights) {
    const int64_t count = std::min(kGroup, p.o - first), width = count == 3 ? 4 : count;
    const int64_t size = p.c * p.kh * p.kw;
    float *to = weights + first * size;
    for (int64_t at = 0; at < size; ++at)
      for (int64_t channel = 0; channel < width; ++channel)
        to[at * width + channel] = channel < count ? p.weight[(first + channel) * size + at] : 0.0f;
  }

  static void copy(const Problem &p, const Patch &patch, float *to) {
    const int64_t rows = patch.rows + p.kh - 1;
    for (int64_t channel = 0; channel < p.c; ++channel) {
      const float *image = p.x + (patch.image * p.c + channel) * p.h * p.w;
      for (int64_t row = 0; row < rows; ++row, to += patch.pitch)
        copy_row<Simd>(image, p.h, p.w, patch.row + row - p.pad_h, patch.column - p.pad_w, patch.pitch, to);
    }
  }

  template <int kChannels, int kVectors>
  static void channels(const Problem &p, const Patch &patch, const float *input, const float *weights, int64_t first) {
    const int64_t wide = (patch.columns + 7) / 8, vectors = patch.rows * wide;
    const int64_t count = std::min<int64_t>(kChannels, p.o - first);
    const V factor = Simd::set(p.activation);
    for (int64_t vector = 0; vector < vectors; vector += kVectors) {
      int64_t offset[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t place = std::min(vector + v, vectors - 1);
        offset[v] = place / wide * patch.pitch + place % wide * 8;
      }
      V sums[kChannels][kVectors];
      for (int channel = 0; channel < kChannels; ++channel)
        for (int v = 0; v < kVectors; ++v)
          sums[channel][v] = Simd::set(p.bias != nullptr && channel < count ? p.bias[first + channel] : 0.0f);
      add(p, patch, input, offset, weights, sums);
      for (int v = 0; v < kVectors && vector + v < vectors; ++v) {
        const int64_t row = patch.row + (vector + v) / wide, column = (vector + v) % wide * 8;
        for (int channel = 0; channel < kChannels; ++channel) {
          if (channel >= count) continue;
          float *to = p.y + ((patch.image * p.o + first + channel) * p.out_h + row) * p.out_w + patch.column + column;
          store_part<Simd>(to, Simd::scale_negative(sums[channel][v], factor), patch.columns - column);
        }
      }
    }
  }

  template <int kChannels, int kVectors>
  static void add(const Problem &p, const Patch &patch, const float *input, const int64_t (&offset)[kVectors],
                  const float *weights, V (&sums)[kChannels][kVectors]) {
    V total[kChannels][kVectors];
    for (int channel = 0; channel < kChannels; ++channel)
      for (int v = 0; v < kVectors; ++v) total[channel][v] = sums[channel][v];
    for (int64_t c = 0; c < p.c; ++c) {
      const float *row = input + c * (patch.rows + p.kh - 1) * patch.pitch;
      for (int64_t i = 0; i < p.kh; ++i, row += patch.pitch) {
        for (int64_t j = 0; j < p.kw; ++j, weights += kChannels) {
          V x[kVectors];
          for (int v = 0; v < kVectors; ++v) x[v] = Simd::load(row + j + offset[v]);
          for (int channel = 0; channel < kChannels; ++channel) {
            const V weight = Simd::set(weights[channel]);
            for (int v = 0; v < kVectors; ++v) total[channel][v] = Simd::fma(x[v], weight, total[channel][v]);
          }
        }
      }
    }
    for (int channel = 0; channel < kChannels; ++channel)
      for (int v = 0; v < kVectors; ++v) sums[channel][v] = total[channel][v];
  }
};

}  // namespace edgekit::conv2d
