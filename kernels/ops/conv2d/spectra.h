// Large kernels by Fourier transforms: overlapping tiles of 32 x 32 of the input, multiplied by the kernels' spectra.
//
// A tile of the input gives 33 - kh rows and 33 - kw columns of the output; what wraps round is thrown away. Eight
// channels lie in the lanes from the first transform to the last. A tile is real: half of its frequencies, 17 x 32, say
// all, and its rows are transformed two at a time, as real and imaginary part. For each frequency the channels of some
// tiles are a matrix, and so are the weights; their product is most of the work.
#pragma once

#include "../common/work.h"
#include "conv2d.h"
#include "fft.h"
#include "rows.h"

namespace edgekit::conv2d {

template <typename Simd>
class Spectra {
 public:
  static void run(const edgekit_context &context, const Problem &p, const Plan &plan) {
    const int64_t in_groups = (p.c + 7) / 8, out_groups = (p.o + 7) / 8;
    float *weights = static_cast<float *>(context.scratch);
    const int64_t weight_stride = spectrum_stride(out_groups * p.c);
    share(context, out_groups * p.c, 1, [&](int, int64_t begin, int64_t end) {
      alignas(64) float middle[kTile * kHalf * kLine];
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item / p.c * 8, c = item % p.c, size = p.kh * p.kw;
        Images images{p.weight + (first * p.c + c) * size, p.c * size, std::min<int64_t>(8, p.o - first), p.kh, p.kw};
        forward(images, 0, 0, p.kh, middle, weights + item * kLine, weight_stride);
      }
    });

    const int64_t rows = kTile + 1 - p.kh, columns = kTile + 1 - p.kw;
    const int64_t down = (p.out_h + rows - 1) / rows, across = (p.out_w + columns - 1) / columns;
    const int64_t groups = std::max(in_groups, out_groups), stride = spectrum_stride(plan.tiles * groups);
    share(context, p.n * down * across, 1, [&](int task, int64_t begin, int64_t end) {
      Arena arena(static_cast<char *>(context.scratch) + plan.shared + static_cast<size_t>(task) * plan.per_thread);
      float *spectra = arena.take<float>(kFrequencies * stride);
      float *products = arena.take<float>(plan.tiles * out_groups * kLine);
      alignas(64) float middle[kTile * kHalf * kLine];
      for (int64_t first = begin; first < end; first += plan.tiles) {
        const int64_t count = std::min(plan.tiles, end - first);
        for (int64_t tile = 0; tile < count; ++tile) {
          const int64_t place = first + tile, image = place / across / down;
          const int64_t y = place / across % down * rows - p.pad_h, x = place % across * columns - p.pad_w;
          for (int64_t group = 0; group < in_groups; ++group) {
            const float *start = p.x + (image * p.c + group * 8) * p.h * p.w;
            Images images{start, p.h * p.w, std::min<int64_t>(8, p.c - group * 8), p.h, p.w};
            forward(images, y, x, kTile, middle, spectra + (tile * groups + group) * kLine, stride);
          }
        }
        for (int64_t frequency = 0; frequency < kFrequencies; ++frequency) {
          float *x = spectra + frequency * stride;
          multiply(x, groups * kLine, p.c, count, weights + frequency * weight_stride, out_groups, products);
          for (int64_t tile = 0; tile < count; ++tile)
            std::memcpy(x + tile * groups * kLine, products + tile * out_groups * kLine,
                        static_cast<size_t>(out_groups * kLine) * sizeof(float));
        }
        for (int64_t tile = 0; tile < count; ++tile) {
          const int64_t place = first + tile, row = place / across % down * rows, column = place % across * columns;
          for (int64_t group = 0; group < out_groups; ++group)
            inverse(p, spectra + (tile * groups + group) * kLine, stride, middle, place / across / down, group * 8, row,
                    column, std::min(rows, p.out_h - row), std::min(columns, p.out_w - column));
        }
      }
    });
  }

 private:
  using V = typename Simd::Floats;
  using Transform = Fft<Simd, kTile>;

  // Up to eight images of one size, `step` floats apart.
  struct Images {
    const float *start;
    int64_t step, count, h, w;
  };

  // The spectra of the tiles at (y, x) of up to eight images, times two; a frequency every `stride` floats. Rows from
  // `rows` are zero.
  static void forward(const Images &images, int64_t y, int64_t x, int64_t rows, float *middle, float *to,
                      int64_t stride) {
    constexpr int64_t kRow = kHalf * kLine;
    alignas(64) float pair[kTile * kLine], spectrum[kTile * kLine];
    for (int64_t row = 0; row < kTile; row += 2) {
      float *even = middle + row * kRow, *odd = even + kRow;
      if (row >= rows) {
        std::memset(even, 0, 2 * kRow * sizeof(float));
        continue;
      }
      cut(images, y + row, x, pair);
      cut(images, row + 1 < rows ? y + row + 1 : images.h, x, pair + kImaginary);
      Transform::template run<false>(pair, kLine, spectrum, kLine, kTile);
      for (int64_t k = 0; k < kHalf; ++k) {
        const float *a = spectrum + k * kLine, *b = spectrum + (kTile - k) % kTile * kLine;
        const V ar = Simd::load(a), ai = Simd::load(a + kImaginary), br = Simd::load(b), bi = Simd::load(b + kImaginary);
        Simd::store(even + k * kLine, Simd::add(ar, br));
        Simd::store(even + k * kLine + kImaginary, Simd::sub(ai, bi));
        Simd::store(odd + k * kLine, Simd::add(ai, bi));
        Simd::store(odd + k * kLine + kImaginary, Simd::sub(br, ar));
      }
    }
    for (int64_t k = 0; k < kHalf; ++k)
      Transform::template run<false>(middle + k * kLine, kRow, to + k * kTile * stride, stride, kTile);
  }

  // 32 columns of a row, an image in each lane; `to` has a line for each column.
  static void cut(const Images &images, int64_t y, int64_t x, float *to) {
    alignas(64) float copies[8][kTile];
    const float *from[8];
    const bool inside = y >= 0 && y < images.h && x >= 0 && x + kTile <= images.w;
    for (int64_t lane = 0; lane < 8; ++lane) {
      from[lane] = images.start + lane * images.step + y * images.w + x;
      if (inside && lane < images.count) continue;
      copy_row<Simd>(images.start + lane * images.step, lane < images.count ? images.h : 0, images.w, y, x, kTile,
                     copies[lane]);
      from[lane] = copies[lane];
    }
    for (int64_t column = 0; column < kTile; column += 8) {
      V block[8];
      for (int lane = 0; lane < 8; ++lane) block[lane] = Simd::load(from[lane] + column);
      Simd::transpose(block);
      for (int i = 0; i < 8; ++i) Simd::store(to + (column + i) * kLine, block[i]);
    }
  }

  // products[tile][o] = the sum over c of x[tile][c] * conj(w[c][o]), at one frequency.
  static void multiply(const float *x, int64_t x_step, int64_t c, int64_t tiles, const float *w, int64_t out_groups,
                       float *products) {
    const int64_t step = out_groups * kLine;
    for (int64_t group = 0; group < out_groups; ++group, w += c * kLine) {
      for (int64_t tile = 0; tile < tiles; tile += kTilesAtOnce) {
        const float *from = x + tile * x_step;
        float *to = products + tile * step + group * kLine;
        switch (std::min(kTilesAtOnce, tiles - tile)) {
          case 1:
            multiply<1>(from, x_step, c, w, to, step);
            break;
          case 2:
            multiply<2>(from, x_step, c, w, to, step);
            break;
          case 3:
            multiply<3>(from, x_step, c, w, to, step);
            break;
          case 4:
            multiply<4>(from, x_step, c, w, to, step);
            break;
          case 5:
            multiply<5>(from, x_step, c, w, to, step);
            break;
          default:
            multiply<6>(from, x_step, c, w, to, step);
        }
      }
    }
  }

  template <int kTiles>
  static void multiply(const float *x, int64_t x_step, int64_t c, const float *w, float *to, int64_t to_step) {
    V re[kTiles], im[kTiles];
    for (int tile = 0; tile < kTiles; ++tile) re[tile] = im[tile] = Simd::set(0.0f);
    for (int64_t channel = 0; channel < c; ++channel, w += kLine) {
      const float *from = x + channel / 8 * kLine + channel % 8;
      const V wr = Simd::load(w), wi = Simd::load(w + kImaginary);
      for (int tile = 0; tile < kTiles; ++tile) {
        const V xr = Simd::set(from[tile * x_step]);
        re[tile] = Simd::fma(xr, wr, re[tile]);
        im[tile] = Simd::fnma(xr, wi, im[tile]);
        const V xi = Simd::set(from[tile * x_step + kImaginary]);
        re[tile] = Simd::fma(xi, wi, re[tile]);
        im[tile] = Simd::fma(xi, wr, im[tile]);
      }
    }
    for (int tile = 0; tile < kTiles; ++tile) {
      Simd::store(to + tile * to_step, re[tile]);
      Simd::store(to + tile * to_step + kImaginary, im[tile]);
    }
  }

  // Eight channels of the output from `channel`, `rows` x `columns` of it at (row, column).
  static void inverse(const Problem &p, const float *from, int64_t stride, float *middle, int64_t image, int64_t channel,
                      int64_t row, int64_t column, int64_t rows, int64_t columns) {
    constexpr int64_t kRow = kHalf * kLine;
    // Both transforms' sizes, and twice on either side by which forward's results are too large.
    const V scale = Simd::set(1.0f / (4 * kTile * kTile)), factor = Simd::set(p.activation);
    const int64_t count = std::min<int64_t>(8, p.o - channel);
    float *y = p.y + ((image * p.o + channel) * p.out_h + row) * p.out_w + column;
    for (int64_t k = 0; k < kHalf; ++k)
      Transform::template run<true>(from + k * kTile * stride, stride, middle + k * kLine, kRow, (rows + 1) / 2 * 2);
    alignas(64) float pair[kTile * kLine], spectrum[kTile * kLine];
    for (int64_t at = 0; at < rows; at += 2) {
      const float *even = middle + at * kRow, *odd = even + kRow;
      for (int64_t k = 0; k < kHalf; ++k) {
        const float *a = even + k * kLine, *b = odd + k * kLine;
        const V ar = Simd::load(a), ai = Simd::load(a + kImaginary), br = Simd::load(b), bi = Simd::load(b + kImaginary);
        Simd::store(spectrum + k * kLine, Simd::sub(ar, bi));
        Simd::store(spectrum + k * kLine + kImaginary, Simd::add(ai, br));
        if (k == 0 || k == kTile / 2) continue;
        Simd::store(spectrum + (kTile - k) * kLine, Simd::add(ar, bi));
        Simd::store(spectrum + (kTile - k) * kLine + kImaginary, Simd::sub(br, ai));
      }
      Transform::template run<true>(spectrum, kLine, pair, kLine, kTile);
      for (int64_t half = 0; half < std::min<int64_t>(2, rows - at); ++half) {
        for (int64_t start = 0; start < columns; start += 8) {
          V block[8];
          for (int i = 0; i < 8; ++i) block[i] = Simd::load(pair + (start + i) * kLine + half * kImaginary);
          Simd::transpose(block);
          for (int lane = 0; lane < 8; ++lane) {
            if (lane >= count) continue;
            const V bias = Simd::set(p.bias != nullptr ? p.bias[channel + lane] : 0.0f);
            store_some<Simd>(y + (lane * p.out_h + at + half) * p.out_w + start,
                             Simd::scale_negative(Simd::fma(block[lane], scale, bias), factor), columns - start);
          }
        }
      }
    }
  }
};

}  // namespace edgekit::conv2d
