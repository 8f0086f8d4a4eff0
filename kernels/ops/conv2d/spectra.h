// Large kernels by Fourier transforms: overlapping tiles of 32 x 32 of the input, multiplied by the kernels' spectra.
//
// A tile of the input gives 33 - kh rows and 33 - kw columns of the output; what wraps round is thrown away. Eight
// channels lie in the lanes from the first transform to the last. A tile is real: half of its frequencies, 17 x 32, say
// all, and its rows are transformed two at a time, as real and imaginary part. For each frequency the channels of some
// tiles are a matrix, and so are the weights; their product is most of the work.
#pragma once

#include "../common/part.h"
#include "../common/work.h"
#include "conv2d.h"
#include "fft.h"
#include "rows.h"

namespace edgekit::conv2d {

template <typename Simd>
class Spectra {
 public:
  static void run(const edgekit_context &context, const Problem &p, const Plan &plan) {
    const Spectra call(context, p, plan);
    if (plan.by_groups) {
      call.run_by_groups();
    } else {
      call.run_by_tiles();
    }
  }

 private:
  using V = typename Simd::Floats;
  using Transform = Fft<Simd, kTile>;

  Spectra(const edgekit_context &context, const Problem &problem, const Plan &plan)
      : context_(context),
        p_(problem),
        plan_(plan),
        in_groups_((p_.c + 7) / 8),
        out_groups_((p_.o + 7) / 8),
        rows_(kTile + 1 - p_.kh),
        columns_(kTile + 1 - p_.kw),
        down_((p_.out_h + rows_ - 1) / rows_),
        across_((p_.out_w + columns_ - 1) / columns_) {}

  // All weights' spectra are kept, those of some tiles at a time: for many tiles.
  void run_by_tiles() const {
    float *weights = static_cast<float *>(context_.scratch);
    const int64_t weight_stride = spectrum_stride(out_groups_ * p_.c);
    share(context_, out_groups_ * p_.c, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item)
        forward_weights(item / p_.c, item % p_.c, weights + item * kLine, weight_stride);
    });

    const int64_t groups = std::max(in_groups_, out_groups_), stride = spectrum_stride(plan_.tiles * groups);
    share(context_, p_.n * down_ * across_, 1, [&](int task, int64_t begin, int64_t end) {
      Arena arena = arena_of(task);
      float *spectra = arena.take<float>(kFrequencies * stride);
      float *products = arena.take<float>(plan_.tiles * out_groups_ * kLine);
      for (int64_t first = begin; first < end; first += plan_.tiles) {
        const int64_t count = std::min(plan_.tiles, end - first);
        for (int64_t item = 0; item < count * in_groups_; ++item) {
          const int64_t tile = item / in_groups_, group = item % in_groups_;
          forward_tile(first + tile, group, spectra + (tile * groups + group) * kLine, stride);
        }
        for (int64_t frequency = 0; frequency < kFrequencies; ++frequency) {
          float *x = spectra + frequency * stride;
          multiply(x, groups * kLine, p_.c, count, weights + frequency * weight_stride, out_groups_, false, products);
          // In their place: at this frequency the inputs are done with.
          for (int64_t tile = 0; tile < count; ++tile)
            std::memcpy(x + tile * groups * kLine, products + tile * out_groups_ * kLine,
                        static_cast<size_t>(out_groups_ * kLine) * sizeof(float));
        }
        for (int64_t item = 0; item < count * out_groups_; ++item) {
          const int64_t tile = item / out_groups_, group = item % out_groups_;
          inverse_tile(first + tile, group, spectra + (tile * groups + group) * kLine, stride);
        }
      }
    });
  }

  // All tiles' spectra are kept, the weights' of eight channels of the output at a time: for many weights.
  void run_by_groups() const {
    const int64_t tiles = p_.n * down_ * across_, stride = spectrum_stride(tiles * in_groups_);
    float *spectra = static_cast<float *>(context_.scratch);
    share(context_, tiles * in_groups_, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item)
        forward_tile(item / in_groups_, item % in_groups_, spectra + item * kLine, stride);
    });

    const int64_t most = std::min(p_.c, kChannelsAtOnce);
    const int64_t weight_stride = spectrum_stride(most), product_stride = spectrum_stride(tiles);
    share(context_, out_groups_, 1, [&](int task, int64_t begin, int64_t end) {
      Arena arena = arena_of(task);
      float *weights = arena.take<float>(kFrequencies * weight_stride);
      float *products = arena.take<float>(kFrequencies * product_stride);
      for (int64_t group = begin; group < end; ++group) {
        for (int64_t c = 0; c < p_.c; c += kChannelsAtOnce) {
          const int64_t count = std::min(kChannelsAtOnce, p_.c - c);
          for (int64_t i = 0; i < count; ++i) forward_weights(group, c + i, weights + i * kLine, weight_stride);
          for (int64_t frequency = 0; frequency < kFrequencies; ++frequency)
            multiply(spectra + frequency * stride + c / 8 * kLine, in_groups_ * kLine, count, tiles,
                     weights + frequency * weight_stride, 1, c > 0, products + frequency * product_stride);
        }
        for (int64_t tile = 0; tile < tiles; ++tile) inverse_tile(tile, group, products + tile * kLine, product_stride);
      }
    });
  }

  Arena arena_of(int task) const {
    return Arena(static_cast<char *>(context_.scratch) + plan_.shared + static_cast<size_t>(task) * plan_.per_thread);
  }

  void forward_weights(int64_t group, int64_t c, float *to, int64_t stride) const {
    const int64_t first = group * 8, count = std::min<int64_t>(8, p_.o - first), size = p_.kh * p_.kw;
    forward({p_.weight + (first * p_.c + c) * size, p_.c * size, count, p_.kh, p_.kw}, 0, 0, p_.kh, to, stride);
  }

  void forward_tile(int64_t tile, int64_t group, float *to, int64_t stride) const {
    const int64_t first = group * 8, size = p_.h * p_.w, image = tile / across_ / down_;
    forward({p_.x + (image * p_.c + first) * size, size, std::min<int64_t>(8, p_.c - first), p_.h, p_.w},
            tile / across_ % down_ * rows_ - p_.pad_h, tile % across_ * columns_ - p_.pad_w, kTile, to, stride);
  }

  // Up to eight images of one size, `step` floats apart.
  struct Images {
    const float *start;
    int64_t step, count, h, w;
  };

  // The spectra of the tiles at (y, x) of up to eight images, times two; a frequency every `stride` floats. Rows from
  // `rows` are zero.
  static void forward(const Images &images, int64_t y, int64_t x, int64_t rows, float *to, int64_t stride) {
    constexpr int64_t kRow = kHalf * kLine;
    alignas(64) float middle[kTile * kRow], pair[kTile * kLine], spectrum[kTile * kLine];
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
        const V ar = Simd::load(a), ai = Simd::load(a + kImaginary);
        const V br = Simd::load(b), bi = Simd::load(b + kImaginary);
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

  // products[tile][o] = the sum over c of x[tile][c] * conj(w[c][o]), at one frequency; or is added to it.
  static void multiply(const float *x, int64_t x_step, int64_t c, int64_t tiles, const float *w, int64_t out_groups,
                       bool add, float *products) {
    const int64_t step = out_groups * kLine;
    for (int64_t group = 0; group < out_groups; ++group, w += c * kLine) {
      for (int64_t tile = 0; tile < tiles; tile += kTilesAtOnce) {
        const float *from = x + tile * x_step;
        float *to = products + tile * step + group * kLine;
        switch (std::min(kTilesAtOnce, tiles - tile)) {
          case 1:
            multiply<1>(from, x_step, c, w, to, step, add);
            break;
          case 2:
            multiply<2>(from, x_step, c, w, to, step, add);
            break;
          case 3:
            multiply<3>(from, x_step, c, w, to, step, add);
            break;
          case 4:
            multiply<4>(from, x_step, c, w, to, step, add);
            break;
          case 5:
            multiply<5>(from, x_step, c, w, to, step, add);
            break;
          default:
            multiply<6>(from, x_step, c, w, to, step, add);
        }
      }
    }
  }

  template <int kTiles>
  static void multiply(const float *x, int64_t x_step, int64_t c, const float *w, float *to, int64_t to_step,
                       bool add) {
    V re[kTiles], im[kTiles];
    for (int tile = 0; tile < kTiles; ++tile) {
      re[tile] = add ? Simd::load(to + tile * to_step) : Simd::set(0.0f);
      im[tile] = add ? Simd::load(to + tile * to_step + kImaginary) : Simd::set(0.0f);
    }
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

  // A tile of eight channels of the output, from its spectra.
  void inverse_tile(int64_t tile, int64_t group, const float *from, int64_t stride) const {
    const int64_t image = tile / across_ / down_;
    const int64_t row = tile / across_ % down_ * rows_, column = tile % across_ * columns_;
    const int64_t rows = std::min(rows_, p_.out_h - row), columns = std::min(columns_, p_.out_w - column);
    const int64_t channel = group * 8;
    constexpr int64_t kRow = kHalf * kLine;
    // Both transforms' sizes, and twice on either side by which forward's results are too large.
    const V scale = Simd::set(1.0f / (4 * kTile * kTile)), factor = Simd::set(p_.activation);
    const int64_t count = std::min<int64_t>(8, p_.o - channel);
    float *y = p_.y + ((image * p_.o + channel) * p_.out_h + row) * p_.out_w + column;
    alignas(64) float middle[kTile * kRow], pair[kTile * kLine], spectrum[kTile * kLine];
    for (int64_t k = 0; k < kHalf; ++k)
      Transform::template run<true>(from + k * kTile * stride, stride, middle + k * kLine, kRow, (rows + 1) / 2 * 2);
    for (int64_t at = 0; at < rows; at += 2) {
      const float *even = middle + at * kRow, *odd = even + kRow;
      for (int64_t k = 0; k < kHalf; ++k) {
        const float *a = even + k * kLine, *b = odd + k * kLine;
        const V ar = Simd::load(a), ai = Simd::load(a + kImaginary);
        const V br = Simd::load(b), bi = Simd::load(b + kImaginary);
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
            const V bias = Simd::set(p_.bias != nullptr ? p_.bias[channel + lane] : 0.0f);
            store_part<Simd>(y + (lane * p_.out_h + at + half) * p_.out_w + start,
                             Simd::scale_negative(Simd::fma(block[lane], scale, bias), factor), columns - start);
          }
        }
      }
    }
  }

  const edgekit_context &context_;
  const Problem &p_;
  const Plan &plan_;
  const int64_t in_groups_, out_groups_;  // of eight channels
  const int64_t rows_, columns_;          // of the output that a tile gives
  const int64_t down_, across_;           // tiles
};

}  // namespace edgekit::conv2d
