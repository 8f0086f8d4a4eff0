// 3 x 3 kernels by Winograd's F(4 x 4, 3 x 3): 36 products for 16 outputs, where the sum needs 144.
//
// As with Fourier transforms (spectra.h), eight channels lie in the lanes, and for each of a tile's 36 points the
// channels of some tiles are a matrix to be multiplied with the weights'. Tiles of 6 x 6 overlap by two; a row of them
// across the image is a strip.
#pragma once

#include "../common/part.h"
#include "../common/work.h"
#include "conv2d.h"
#include "rows.h"

namespace edgekit::conv2d {

template <typename Simd>
class Winograd {
 public:
  static void run(const edgekit_context &context, const Problem &p, const Plan &plan) {
    const int64_t in_groups = (p.c + 7) / 8, out_groups = (p.o + 7) / 8;
    const int64_t weight_step = out_groups * p.c * 8;
    float *weights = static_cast<float *>(context.scratch);
    share(context, out_groups * p.c, 64, [&](int, int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item)
        transform_weights(p, item / p.c * 8, item % p.c, weights + item * 8, weight_step);
    });

    const int64_t down = (p.out_h + kOut - 1) / kOut, across = (p.out_w + kOut - 1) / kOut;
    const int64_t most = plan.tiles * across, in_step = most * in_groups * 8, out_step = most * out_groups * 8;
    share(context, p.n * down, 1, [&](int task, int64_t begin, int64_t end) {
      Arena arena(static_cast<char *>(context.scratch) + plan.shared + static_cast<size_t>(task) * plan.per_thread);
      float *inputs = arena.take<float>(kWinogradPoints * in_step);
      float *outputs = arena.take<float>(kWinogradPoints * out_step);
      float *strip = arena.take<float>(winograd_strip(across)), *rows = arena.take<float>(winograd_strip(across));
      for (int64_t first = begin; first < end; first += plan.tiles) {
        const int64_t count = std::min(plan.tiles, end - first), tiles = count * across;
        for (int64_t item = 0; item < count * in_groups; ++item) {
          const int64_t at = item / in_groups, group = item % in_groups;
          cut(p, (first + at) / down, (first + at) % down * kOut, group * 8, across, rows, strip);
          for (int64_t tile = 0; tile < across; ++tile)
            transform_tile(strip + tile * kOut * 8, columns(across) * 8,
                           inputs + ((at * across + tile) * in_groups + group) * 8, in_step);
        }
        for (int64_t point = 0; point < kWinogradPoints; ++point)
          multiply(inputs + point * in_step, in_groups * 8, p.c, tiles, weights + point * weight_step, out_groups,
                   outputs + point * out_step);
        for (int64_t item = 0; item < count * out_groups; ++item) {
          const int64_t at = item / out_groups, group = item % out_groups;
          for (int64_t tile = 0; tile < across; ++tile)
            transform_back(outputs + ((at * across + tile) * out_groups + group) * 8, out_step, strip + tile * kOut * 8,
                           columns(across) * 8);
          store(p, strip, (first + at) / down, (first + at) % down * kOut, group * 8, across);
        }
      }
    });
  }

 private:
  using V = typename Simd::Floats;
  static constexpr int64_t kOut = 4, kIn = 6;

  static int64_t columns(int64_t across) { return winograd_columns(across); }

  static V times(float factor, V x) { return Simd::mul(Simd::set(factor), x); }
  static V add_times(V x, float factor, V y) { return Simd::fma(Simd::set(factor), y, x); }

  static void kernel(const V (&g)[3], V (&t)[6]) {
    const V even = Simd::add(g[0], g[2]), wide = add_times(times(1.0f / 24, g[0]), 1.0f / 6, g[2]);
    const V odd = times(1.0f / 12, g[1]);
    t[0] = times(0.25f, g[0]);
    t[1] = times(-1.0f / 6, Simd::add(even, g[1]));
    t[2] = times(-1.0f / 6, Simd::sub(even, g[1]));
    t[3] = Simd::add(wide, odd);
    t[4] = Simd::sub(wide, odd);
    t[5] = g[2];
  }

  static void input(const V (&d)[6], V (&t)[6]) {
    const V a = add_times(d[4], -4.0f, d[2]), b = add_times(d[3], -4.0f, d[1]);
    const V c = Simd::sub(d[4], d[2]), e = times(2.0f, Simd::sub(d[3], d[1]));
    t[0] = add_times(add_times(d[4], -5.0f, d[2]), 4.0f, d[0]);
    t[1] = Simd::add(a, b);
    t[2] = Simd::sub(a, b);
    t[3] = Simd::add(c, e);
    t[4] = Simd::sub(c, e);
    t[5] = add_times(add_times(d[5], -5.0f, d[3]), 4.0f, d[1]);
  }

  static void output(const V (&m)[6], V (&t)[4]) {
    const V a = Simd::add(m[1], m[2]), b = Simd::sub(m[1], m[2]), c = Simd::add(m[3], m[4]), d = Simd::sub(m[3], m[4]);
    t[0] = Simd::add(Simd::add(m[0], a), c);
    t[1] = add_times(b, 2.0f, d);
    t[2] = add_times(a, 4.0f, c);
    t[3] = Simd::add(add_times(b, 8.0f, d), m[5]);
  }

  // One channel of the input's weights for eight channels of the output; a point every `step` floats.
  static void transform_weights(const Problem &p, int64_t first, int64_t c, float *to, int64_t step) {
    alignas(64) float lanes[9][8];
    for (int64_t lane = 0; lane < 8; ++lane)
      for (int64_t i = 0; i < 9; ++i)
        lanes[i][lane] = first + lane < p.o ? p.weight[((first + lane) * p.c + c) * 9 + i] : 0.0f;
    V half[3][6];
    for (int row = 0; row < 3; ++row) {
      const V g[3] = {Simd::load(lanes[3 * row]), Simd::load(lanes[3 * row + 1]), Simd::load(lanes[3 * row + 2])};
      kernel(g, half[row]);
    }
    for (int column = 0; column < 6; ++column) {
      const V g[3] = {half[0][column], half[1][column], half[2][column]};
      V t[6];
      kernel(g, t);
      for (int row = 0; row < 6; ++row) Simd::store(to + (row * 6 + column) * step, t[row]);
    }
  }

  // A strip's input of eight channels, a channel in each lane.
  static void cut(const Problem &p, int64_t image, int64_t row, int64_t channel, int64_t across, float *rows,
                  float *strip) {
    const int64_t wide = columns(across);
    for (int64_t at = 0; at < kIn; ++at) {
      for (int64_t lane = 0; lane < 8; ++lane) {
        const bool is = channel + lane < p.c;
        copy_row<Simd>(p.x + (is ? (image * p.c + channel + lane) * p.h * p.w : 0), is ? p.h : 0, p.w,
                       row + at - p.pad_h, -p.pad_w, wide, rows + lane * wide);
      }
      for (int64_t column = 0; column < wide; column += 8) {
        V block[8];
        for (int lane = 0; lane < 8; ++lane) block[lane] = Simd::load(rows + lane * wide + column);
        Simd::transpose(block);
        for (int i = 0; i < 8; ++i) Simd::store(strip + (at * wide + column + i) * 8, block[i]);
      }
    }
  }

  static void transform_tile(const float *from, int64_t pitch, float *to, int64_t step) {
    V half[6][6];
    for (int row = 0; row < 6; ++row) {
      V d[6];
      for (int column = 0; column < 6; ++column) d[column] = Simd::load(from + row * pitch + column * 8);
      input(d, half[row]);
    }
    for (int column = 0; column < 6; ++column) {
      V d[6], t[6];
      for (int row = 0; row < 6; ++row) d[row] = half[row][column];
      input(d, t);
      for (int row = 0; row < 6; ++row) Simd::store(to + (row * 6 + column) * step, t[row]);
    }
  }

  static void transform_back(const float *from, int64_t step, float *to, int64_t pitch) {
    V half[6][4];
    for (int row = 0; row < 6; ++row) {
      V m[6];
      for (int column = 0; column < 6; ++column) m[column] = Simd::load(from + (row * 6 + column) * step);
      output(m, half[row]);
    }
    for (int column = 0; column < 4; ++column) {
      V m[6], t[4];
      for (int row = 0; row < 6; ++row) m[row] = half[row][column];
      output(m, t);
      for (int row = 0; row < 4; ++row) Simd::store(to + row * pitch + column * 8, t[row]);
    }
  }

  static void store(const Problem &p, const float *strip, int64_t image, int64_t row, int64_t channel, int64_t across) {
    const int64_t rows = std::min(kOut, p.out_h - row), count = std::min<int64_t>(8, p.o - channel);
    const V factor = Simd::set(p.activation);
    for (int64_t at = 0; at < rows; ++at) {
      for (int64_t column = 0; column < p.out_w; column += 8) {
        V block[8];
        for (int i = 0; i < 8; ++i) block[i] = Simd::load(strip + (at * columns(across) + column + i) * 8);
        Simd::transpose(block);
        for (int lane = 0; lane < 8; ++lane) {
          if (lane >= count) continue;
          const V bias = Simd::set(p.bias != nullptr ? p.bias[channel + lane] : 0.0f);
          store_part<Simd>(p.y + ((image * p.o + channel + lane) * p.out_h + row + at) * p.out_w + column,
                           Simd::scale_negative(Simd::add(block[lane], bias), factor), p.out_w - column);
        }
      }
    }
  }

  // y[tile][o] = the sum over c of x[tile][c] * w[c][o], at one point.
  static void multiply(const float *x, int64_t x_step, int64_t c, int64_t tiles, const float *w, int64_t out_groups,
                       float *y) {
    const int64_t step = out_groups * 8;
    for (int64_t group = 0; group < out_groups; group += 2) {
      const float *weights = w + group * c * 8;
      for (int64_t tile = 0; tile < tiles; tile += kTilesAtOnce) {
        const float *from = x + tile * x_step;
        float *to = y + tile * step + group * 8;
        const int64_t count = std::min(kTilesAtOnce, tiles - tile);
        if (group + 1 < out_groups) {
          some<2>(count, from, x_step, c, weights, to, step);
        } else {
          some<1>(count, from, x_step, c, weights, to, step);
        }
      }
    }
  }

  template <int kGroups>
  static void some(int64_t count, const float *x, int64_t x_step, int64_t c, const float *w, float *y, int64_t step) {
    switch (count) {
      case 1:
        return multiply<kGroups, 1>(x, x_step, c, w, y, step);
      case 2:
        return multiply<kGroups, 2>(x, x_step, c, w, y, step);
      case 3:
        return multiply<kGroups, 3>(x, x_step, c, w, y, step);
      case 4:
        return multiply<kGroups, 4>(x, x_step, c, w, y, step);
      case 5:
        return multiply<kGroups, 5>(x, x_step, c, w, y, step);
      default:
        return multiply<kGroups, 6>(x, x_step, c, w, y, step);
    }
  }

  template <int kGroups, int kTiles>
  static void multiply(const float *x, int64_t x_step, int64_t c, const float *w, float *y, int64_t step) {
    V sums[kTiles][kGroups];
    for (auto &tile : sums)
      for (auto &sum : tile) sum = Simd::set(0.0f);
    for (int64_t channel = 0; channel < c; ++channel) {
      V weights[kGroups];
      for (int group = 0; group < kGroups; ++group) weights[group] = Simd::load(w + (group * c + channel) * 8);
      for (int tile = 0; tile < kTiles; ++tile) {
        const V value = Simd::set(x[tile * x_step + channel]);
        for (int group = 0; group < kGroups; ++group)
          sums[tile][group] = Simd::fma(value, weights[group], sums[tile][group]);
      }
    }
    for (int tile = 0; tile < kTiles; ++tile)
      for (int group = 0; group < kGroups; ++group) Simd::store(y + tile * step + group * 8, sums[tile][group]);
  }
};

}  // namespace edgekit::conv2d
