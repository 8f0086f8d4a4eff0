// conv2d: arguments, and which algorithm computes a shape.

#include "conv2d.h"

#include <cinttypes>

#include "../common/error.h"
#include "../common/work.h"
#include "plan.h"

namespace edgekit::conv2d {
namespace {

int64_t divided(int64_t count, int64_t by) { return (count + by - 1) / by; }
int64_t rounded(int64_t count, int64_t to) { return divided(count, to) * to; }

Shape make_shape(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh, int64_t kw, int64_t pad_h,
                 int64_t pad_w) {
  return {n, c, h, w, o, kh, kw, pad_h, pad_w, h + 2 * pad_h - kh + 1, w + 2 * pad_w - kw + 1};
}

// Costs below are in vector instructions; how they relate was measured with AVX2.

double direct_cost(const Shape &s) {
  const double columns = static_cast<double>(rounded(s.out_w, 8)), outputs = static_cast<double>(s.n * s.out_h) * columns;
  return outputs / 8 * static_cast<double>(s.c * s.kh * s.kw) * (static_cast<double>(s.o) + 0.5);
}

double fft_cost(const Shape &s, int64_t tile) {
  const FftSizes sizes = fft_sizes(s, tile);
  const double points = static_cast<double>(tile * tile), transform = tile == 32 ? 50e3 : 250e3;
  const double channels = static_cast<double>(s.c + s.o), pairs = static_cast<double>(s.c * s.o);
  const double blocks = static_cast<double>(divided(sizes.tiles, 16));
  return blocks * (channels * transform + pairs * points * 4.4) + pairs / 16 * transform;
}

double winograd_cost(const Shape &s) {
  const WinogradSizes sizes = winograd_sizes(s);
  const double groups = static_cast<double>(sizes.groups);
  return groups * static_cast<double>(36 * s.c * s.o + 400 * (s.c + s.o)) + static_cast<double>(s.c * s.o) * 150;
}

}  // namespace

FftSizes fft_sizes(const Shape &s, int64_t tile) {
  constexpr int64_t kLine = 16;  // floats: eight real, eight imaginary
  FftSizes sizes{};
  sizes.out_rows = tile - s.kh + 1;
  sizes.out_columns = tile - s.kw + 1;
  sizes.tiles_y = divided(s.out_h, sizes.out_rows);
  sizes.tiles_x = divided(s.out_w, sizes.out_columns);
  sizes.tiles = s.n * sizes.tiles_y * sizes.tiles_x;
  sizes.point = (divided(s.o, 8) * s.c | 1) * kLine;
  sizes.chunk = tile * (tile + 1) * kLine;
  sizes.x_slot = (s.c | 1) * kLine;
  sizes.y_slot = (rounded(s.o, 2) | 1) * kLine;
  sizes.weights = (tile * tile / 2 + 2) * sizes.point;
  sizes.tiles_of_thread = std::max(s.c, s.o) * sizes.chunk;
  sizes.columns_of_thread = 2 * tile * (sizes.x_slot + sizes.y_slot);
  return sizes;
}

WinogradSizes winograd_sizes(const Shape &s) {
  WinogradSizes sizes{};
  sizes.groups_x = divided(s.out_w, kGroup * kWinogradTile);
  sizes.tiles_y = divided(s.out_h, kWinogradTile);
  sizes.groups = s.n * sizes.tiles_y * sizes.groups_x;
  return sizes;
}

DirectSizes direct_sizes(const Shape &s, int64_t rows, int64_t columns) {
  DirectSizes sizes{};
  sizes.patches_y = divided(s.out_h, rows);
  sizes.patches_x = divided(s.out_w, columns);
  sizes.patches = s.n * sizes.patches_y * sizes.patches_x;
  sizes.in_rows = rows + s.kh - 1;
  sizes.in_columns = rounded(columns, 8) + s.kw - 1;
  return sizes;
}

namespace {

Plan fft_plan(const Shape &s, int64_t tile) {
  const FftSizes sizes = fft_sizes(s, tile);
  return {Algorithm::kFft, 0, 0, tile, room<float>(sizes.weights),
          room<float>(sizes.tiles_of_thread) + room<float>(sizes.columns_of_thread)};
}

Plan winograd_plan(const Shape &s) {
  // Groups in a block: a multiple of what the inner loop takes at once, and few enough for the second cache.
  constexpr int64_t kBytes = 512 << 10;
  int64_t groups = 6;
  if (kWinogradPoints * (s.c + s.o) * groups * kGroup * 4 > kBytes) groups = 3;
  const int64_t points = kWinogradPoints * groups * kGroup;
  return {Algorithm::kWinograd, 0, groups, 0, room<float>(kWinogradPoints * s.o * s.c),
          room<float>(points * s.c) + room<float>(points * s.o)};
}

Plan direct_plan(const Shape &s) {
  // A patch whose input fits the second cache, of few enough rows that every thread has some.
  constexpr int64_t kBytes = 256 << 10;
  const int64_t columns = std::min<int64_t>(rounded(s.out_w, 8), 96);
  int64_t rows = std::min<int64_t>(s.out_h, 16);
  while (rows > 1 && s.c * (rows + s.kh - 1) * (columns + s.kw - 1) * 4 > kBytes) --rows;
  const DirectSizes sizes = direct_sizes(s, rows, columns);
  return {Algorithm::kDirect, rows, columns, 0, room<float>(s.o * s.c * s.kh * s.kw),
          room<float>(s.c * sizes.in_rows * sizes.in_columns)};
}

}  // namespace

Plan make_plan(const Shape &s) {
  const int64_t side = std::max(s.kh, s.kw);
  if (side >= 7 && side <= 48) {
    const int64_t tile = side > 24 ? 64 : 32;
    if (fft_cost(s, tile) < direct_cost(s)) return fft_plan(s, tile);
  }
  if (s.kh == 3 && s.kw == 3 && winograd_cost(s) < direct_cost(s)) return winograd_plan(s);
  return direct_plan(s);
}

}  // namespace edgekit::conv2d

size_t edgekit_conv2d_scratch(int threads, int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh, int64_t kw,
                              int64_t pad_h, int64_t pad_w) {
  using namespace edgekit::conv2d;
  const Shape shape = make_shape(n, c, h, w, o, kh, kw, pad_h, pad_w);
  const bool computes = n > 0 && c > 0 && h > 0 && w > 0 && o > 0 && kh > 0 && kw > 0 && pad_h >= 0 && pad_w >= 0 &&
                        shape.out_h > 0 && shape.out_w > 0;
  if (!computes) return 0;
  const Plan plan = make_plan(shape);
  return plan.shared + static_cast<size_t>(std::max(threads, 1)) * plan.per_thread;
}

edgekit_status edgekit_conv2d(const edgekit_context *context, const float *x, int64_t n, int64_t c, int64_t h, int64_t w,
                              const float *weight, int64_t o, int64_t kh, int64_t kw, const float *bias, int64_t pad_h,
                              int64_t pad_w, float activation, float *y) {
  using namespace edgekit::conv2d;
  constexpr int64_t kMost = INT32_MAX / 4;
  EDGEKIT_REQUIRE(n >= 0 && c >= 1 && h >= 1 && w >= 1 && n <= kMost && c <= kMost && h <= kMost && w <= kMost,
                  "conv2d: x has shape (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "): give 1 to 2^29 - 1 of each.", n, c,
                  h, w);
  EDGEKIT_REQUIRE(o >= 1 && kh >= 1 && kw >= 1 && o <= kMost && kh <= kMost && kw <= kMost,
                  "conv2d: weight has shape (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "): give 1 to 2^29 - 1 of each.",
                  o, c, kh, kw);
  EDGEKIT_REQUIRE(pad_h >= 0 && pad_w >= 0 && pad_h <= kMost && pad_w <= kMost,
                  "conv2d: padding is [%" PRId64 ", %" PRId64 "]: give 0 to 2^29 - 1.", pad_h, pad_w);
  EDGEKIT_REQUIRE(kh <= h + 2 * pad_h && kw <= w + 2 * pad_w,
                  "conv2d: weight's kernel is %" PRId64 " x %" PRId64 ", the padded x %" PRId64 " x %" PRId64
                  ": give a smaller kernel or more padding.",
                  kh, kw, h + 2 * pad_h, w + 2 * pad_w);
  EDGEKIT_REQUIRE(activation - activation == 0, "conv2d: activation is %g: give a finite number.",
                  static_cast<double>(activation));
  const size_t needed = edgekit_conv2d_scratch(context->threads, n, c, h, w, o, kh, kw, pad_h, pad_w);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "conv2d: scratch has %zu bytes, %zu are needed.", context->scratch_size,
                  needed);
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  if (n == 0) return EDGEKIT_OK;
  Problem problem;
  static_cast<Shape &>(problem) = make_shape(n, c, h, w, o, kh, kw, pad_h, pad_w);
  problem.x = x;
  problem.weight = weight;
  problem.bias = bias;
  problem.activation = activation;
  problem.y = y;
  kernels->run(*context, problem, make_plan(problem));
  return EDGEKIT_OK;
}
