// conv2d: arguments, and which algorithm for which shape.

#include "conv2d.h"

#include <algorithm>
#include <cinttypes>
#include <initializer_list>

#include "../common/error.h"
#include "../common/work.h"
#include "cuda/call.h"

namespace edgekit::conv2d {
namespace {

// What a patch's input may take: the second level of most caches.
constexpr int64_t kPatchFloats = 65536;
// Wider patches gain nothing.
constexpr int64_t kMostColumns = 128;

constexpr int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

Plan plan_direct(const Shape &s) {
  const auto rows_of = [&](int64_t columns) {
    return std::min(kPatchFloats / (s.c * (columns + s.kw - 1)) - s.kh + 1, s.out_h);
  };
  const int64_t across = (s.out_w + kMostColumns - 1) / kMostColumns;
  int64_t columns = up((s.out_w + across - 1) / across, 8);
  while (columns > 24 && rows_of(columns) < std::min<int64_t>(s.out_h, s.kh)) columns = up(columns / 2, 8);
  const int64_t rows = std::max<int64_t>(rows_of(columns), 1);
  Plan plan{Algorithm::kDirect, rows, columns, 0, false, 0, 0};
  plan.shared = room<float>(up(s.o, kDirectGroup) * s.c * s.kh * s.kw);
  plan.per_thread = room<float>(s.c * (rows + s.kh - 1) * (columns + s.kw - 1));
  return plan;
}

// The sides that a tile serves well.
constexpr int64_t kLeastSide = 5, kMostSide = 17;
// What the spectra that a thread works on may take.
constexpr int64_t kStripFloats = 1 << 18;
constexpr int64_t kSpectraBytes = 4 << 20;

int64_t tile_count(const Shape &s) {
  const int64_t rows = kTile + 1 - s.kh, columns = kTile + 1 - s.kw;
  return s.n * ((s.out_h + rows - 1) / rows) * ((s.out_w + columns - 1) / columns);
}

Plan plan_fft(const Shape &s) {
  const int64_t in_groups = up(s.c, 8) / 8, out_groups = up(s.o, 8) / 8, groups = std::max(in_groups, out_groups);
  const int64_t fit = kSpectraBytes / (kFrequencies * kLine * 4 * groups) / kTilesAtOnce * kTilesAtOnce;
  const int64_t tiles = tile_count(s);
  const auto spectra = [](int64_t lines) { return room<float>(kFrequencies * spectrum_stride(lines)); };
  Plan plan{Algorithm::kFft, 0, 0, std::min(std::clamp<int64_t>(fit, kTilesAtOnce, 24), tiles), false, 0, 0};
  // Whichever are fewer are kept.
  plan.by_groups = tiles < s.o && out_groups >= 4;
  if (plan.by_groups) {
    plan.shared = spectra(tiles * in_groups);
    plan.per_thread = spectra(std::min(s.c, kChannelsAtOnce)) + spectra(tiles);
  } else {
    plan.shared = spectra(out_groups * s.c);
    plan.per_thread = spectra(plan.tiles * groups) + room<float>(plan.tiles * out_groups * kLine);
  }
  return plan;
}

// Times in vector operations, roughly as measured: the direct sum, and transforms of weights and tiles and products.
double time_direct(const Shape &s) {
  const int64_t channels = s.o % kDirectGroup == 3 ? s.o + 1 : s.o;
  return static_cast<double>(s.n * s.out_h * up(s.out_w, 8) / 8) * static_cast<double>(channels * s.c * s.kh * s.kw);
}

double time_fft(const Shape &s) {
  // Of a row or column of eight; most of a kernel is zeros.
  constexpr double kOfTiles = 1000, kOfWeights = 500;
  const double tiles = static_cast<double>(tile_count(s)), in = static_cast<double>(up(s.c, 8) / 8);
  const double out = static_cast<double>(up(s.o, 8) / 8), c = static_cast<double>(s.c);
  const double rows = static_cast<double>(kHalf + (s.kh + 1) / 2);
  return out * c * rows * kOfWeights + tiles * (in + out) * 33 * kOfTiles +
         tiles * out * c * 4 * static_cast<double>(kFrequencies);
}

Plan plan_winograd(const Shape &s) {
  const int64_t in_groups = up(s.c, 8) / 8, out_groups = up(s.o, 8) / 8;
  const int64_t down = up(s.out_h, 4) / 4, across = up(s.out_w, 4) / 4;
  const int64_t strip = across * (in_groups + out_groups) * 8 * kWinogradPoints;
  Plan plan{Algorithm::kWinograd, 0, 0, std::clamp<int64_t>(kStripFloats / strip, 1, s.n * down), false, 0, 0};
  plan.shared = room<float>(kWinogradPoints * out_groups * s.c * 8);
  plan.per_thread = room<float>(kWinogradPoints * plan.tiles * across * in_groups * 8) +
                    room<float>(kWinogradPoints * plan.tiles * across * out_groups * 8) +
                    2 * room<float>(winograd_strip(across));
  return plan;
}

double time_winograd(const Shape &s) {
  const double tiles = static_cast<double>(s.n * (up(s.out_h, 4) / 4) * (up(s.out_w, 4) / 4));
  const double in = static_cast<double>(up(s.c, 8) / 8), out = static_cast<double>(up(s.o, 8) / 8);
  const double c = static_cast<double>(s.c);
  return out * c * 400 + tiles * (in + out) * 500 + tiles * out * c * 40;
}

Plan make_plan(const Shape &s) {
  if (s.kh == 3 && s.kw == 3) return time_winograd(s) < time_direct(s) ? plan_winograd(s) : plan_direct(s);
  const bool sides = std::max(s.kh, s.kw) >= kLeastSide && std::max(s.kh, s.kw) <= kMostSide;
  return sides && time_fft(s) < time_direct(s) ? plan_fft(s) : plan_direct(s);
}

bool small(int64_t size, int64_t least) { return size >= least && size < INT32_MAX; }

// Whether the sizes multiply to what can be counted.
bool countable(std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size == 0) return true;
    if (product > (INT64_MAX >> 8) / size) return false;
    product *= size;
  }
  return true;
}

Shape shape_of(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh, int64_t kw, int64_t pad_h,
               int64_t pad_w) {
  return {n, c, h, w, o, kh, kw, pad_h, pad_w, h + 2 * pad_h - kh + 1, w + 2 * pad_w - kw + 1};
}

bool is_empty(const Shape &s) { return s.n == 0 || s.o == 0; }

size_t scratch(int threads, const Plan &plan) {
  return plan.shared + static_cast<size_t>(std::max(threads, 1)) * plan.per_thread;
}

edgekit_status check(const Shape &s) {
  EDGEKIT_REQUIRE(small(s.n, 0) && small(s.c, 1) && small(s.h, 0) && small(s.w, 0),
                  "conv2d: x has shape (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                  "): give 1 or more channels, and less than 2^31 of everything.",
                  s.n, s.c, s.h, s.w);
  EDGEKIT_REQUIRE(small(s.o, 0) && small(s.kh, 1) && small(s.kw, 1),
                  "conv2d: weight has shape (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                  "): give a kernel of 1 or more rows and columns.",
                  s.o, s.c, s.kh, s.kw);
  EDGEKIT_REQUIRE(small(s.pad_h, 0) && small(s.pad_w, 0),
                  "conv2d: padding is [%" PRId64 ", %" PRId64 "]: give 0 or more, and less than 2^31.", s.pad_h,
                  s.pad_w);
  EDGEKIT_REQUIRE(s.out_h >= 1 && s.out_w >= 1,
                  "conv2d: weight has %" PRId64 " x %" PRId64 " numbers a channel, more than x with its padding, "
                  "%" PRId64 " x %" PRId64 ".",
                  s.kh, s.kw, s.h + 2 * s.pad_h, s.w + 2 * s.pad_w);
  EDGEKIT_REQUIRE(small(s.out_h, 1) && small(s.out_w, 1) && countable({s.o, s.c, s.kh, s.kw}) &&
                      countable({s.n, s.c, s.h + 2 * s.pad_h, s.w + 2 * s.pad_w}) &&
                      countable({s.n, s.o, s.out_h, s.out_w}),
                  "conv2d: x of shape (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ") is too large.", s.n, s.c,
                  s.h, s.w);
  return EDGEKIT_OK;
}

}  // namespace
}  // namespace edgekit::conv2d

size_t edgekit_conv2d_scratch(int threads, int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh,
                              int64_t kw, int64_t pad_h, int64_t pad_w) {
  using namespace edgekit::conv2d;
  const Shape shape = shape_of(n, c, h, w, o, kh, kw, pad_h, pad_w);
  // A call with such sizes computes nothing; it says what is wrong with them.
  const bool fits = n > 0 && c > 0 && o > 0 && kh > 0 && kw > 0 && pad_h >= 0 && pad_w >= 0 && shape.out_h > 0 &&
                    shape.out_w > 0;
  return fits ? scratch(threads, make_plan(shape)) : 0;
}

edgekit_status edgekit_conv2d(const edgekit_context *context, const float *x, int64_t n, int64_t c, int64_t h,
                              int64_t w, const float *weight, int64_t o, int64_t kh, int64_t kw, const float *bias,
                              int64_t pad_h, int64_t pad_w, float activation, float *y) {
  using namespace edgekit::conv2d;
  const Shape shape = shape_of(n, c, h, w, o, kh, kw, pad_h, pad_w);
  const edgekit_status status = check(shape);
  if (status != EDGEKIT_OK) return status;
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  if (!edgekit::cuda::leave_gpu("conv2d")) return EDGEKIT_GPU_FAILED;
  if (is_empty(shape)) return EDGEKIT_OK;
  const Plan plan = make_plan(shape);
  const size_t needed = scratch(context->threads, plan);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "conv2d: scratch has %zu bytes, %zu are needed.",
                  context->scratch_size, needed);
  kernels->run(*context, {shape, x, weight, bias, activation, y}, plan);
  return EDGEKIT_OK;
}
