// sea_estimate: arguments, and the state of a new sequence.

#include "sea_estimate.h"

#include <algorithm>
#include <cinttypes>

#include "../common/error.h"
#include "../common/work.h"
#include "cuda.h"
#include "cuda/call.h"
#include "device_memory.h"

namespace edgekit::sea_estimate {
namespace {

bool fits(int64_t size) { return size >= 1 && size < 65536; }

edgekit_status check_map(const edgekit_sea_weights &w) {
  for (int64_t cell = 0; cell < w.cells; ++cell)
    EDGEKIT_REQUIRE(w.map_start[cell] >= 0 && w.map_start[cell] <= w.width - w.taps,
                    "sea_estimate: map_start[%" PRId64 "] is %" PRId64 ": give 0 to %" PRId64 ".", cell,
                    w.map_start[cell], w.width - w.taps);
  return EDGEKIT_OK;
}

// The state before token 0.
void clear(const edgekit_sea_weights &w, const edgekit_sea_state &state) {
  const int64_t rows = kHistory * 2 * w.heads * w.width;
  std::fill_n(state.key_values, w.heads * w.features * 2 * w.size, 0.0f);
  std::fill_n(state.keys, w.heads * w.features, 0.0f);
  std::fill_n(state.values, w.heads * w.size, 0.0f);
  std::fill_n(state.conv1_rows, rows, 0.0f);
  std::fill_n(state.conv2_rows, rows, 0.0f);
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(const Problem &p) {
  cuda::Call call(cuda::Operator::sea_estimate, p.weights.heads * p.rows);
  const edgekit_sea_weights w = on_device(call, p.weights);
  const edgekit_sea_state state = on_device(call, p.weights, p.state);
  const int64_t rows = w.heads * p.rows;
  const float *q = call.in(p.q, rows * w.size), *k = call.in(p.k, rows * w.size), *v = call.in(p.v, rows * w.size);
  float *scores = call.out(p.scores, rows * w.cells), *gates = call.out(p.gates, rows * 2);
  float *v_mean = call.out(p.v_mean, rows * w.size);
  return call.finish(call.ready() &&
                     enqueue(call.queue(), w, state, q, k, v, p.rows, p.start_pos, scores, gates, v_mean));
}

}  // namespace

edgekit_status check_sizes(const edgekit_sea_weights &w, int64_t rows, int64_t start_pos) {
  const struct {
    const char *name;
    int64_t size;
  } sizes[] = {{"heads", w.heads}, {"size", w.size}, {"features", w.features}, {"width", w.width}, {"cells", w.cells}};
  for (const auto &given : sizes)
    EDGEKIT_REQUIRE(fits(given.size), "sea_estimate: %s is %" PRId64 ": give 1 to 65535.", given.name, given.size);
  EDGEKIT_REQUIRE(w.taps >= 1 && w.taps <= 3 && w.taps <= w.width,
                  "sea_estimate: map_weight has %" PRId64 " numbers a cell, the width is %" PRId64
                  ": give 1 to 3, at most the width.",
                  w.taps, w.width);
  EDGEKIT_REQUIRE(rows >= 1, "sea_estimate: there are %" PRId64 " rows: give 1 or more.", rows);
  EDGEKIT_REQUIRE(start_pos >= 0, "sea_estimate: start_pos is %" PRId64 ": give 0 or more.", start_pos);
  EDGEKIT_REQUIRE(rows <= w.capacity && start_pos <= w.capacity - rows,
                  "sea_estimate: start_pos is %" PRId64 " and there are %" PRId64
                  " rows, but positions has %" PRId64 " tokens.",
                  start_pos, rows, w.capacity);
  return EDGEKIT_OK;
}

edgekit_status check(const edgekit_sea_weights &w, int64_t rows, int64_t start_pos) {
  const edgekit_status status = check_sizes(w, rows, start_pos);
  if (status != EDGEKIT_OK) return status;
  if (!cuda::read_by_cpu("sea_estimate", w.map_start, static_cast<size_t>(w.cells) * sizeof *w.map_start))
    return EDGEKIT_GPU_FAILED;
  return check_map(w);
}

size_t shared_scratch(const edgekit_sea_weights &w, int64_t rows) {
  const int64_t count = std::min(kBlock, rows), channels = 2 * w.heads;
  return 2 * room<float>((kHistory + count) * channels * pitch(w.width)) +
         room<float>(count * channels * whole_vectors(w.width));
}

size_t thread_scratch(const edgekit_sea_weights &w, int64_t rows) {
  const int64_t count = std::min(kBlock, w.heads * std::min(kBlock, rows));  // rows of several heads
  const size_t encoding = room<float>(count * 2 * w.size) + room<float>(count * 2 * w.features) +
                          room<float>(count * 3 * w.size) + room<float>(count * 2 * w.size) +
                          room<float>(count * 2 * w.width) + room<float>(count * 2);
  const int64_t width = whole_vectors(w.width), cells = whole_vectors(w.cells);
  const size_t scoring = room<float>(w.heads * width) + room<float>(8 * width) + room<float>(8 * cells);
  return std::max(encoding, scoring);
}

}  // namespace edgekit::sea_estimate

size_t edgekit_sea_estimate_scratch(int threads, const edgekit_sea_weights *weights, int64_t rows) {
  using namespace edgekit::sea_estimate;
  const edgekit_sea_weights &w = *weights;
  // A call with such sizes computes nothing; it says what is wrong with them.
  if (!fits(w.heads) || !fits(w.size) || !fits(w.features) || !fits(w.width) || !fits(w.cells) || rows < 1) return 0;
  return shared_scratch(w, rows) + static_cast<size_t>(std::max(threads, 1)) * thread_scratch(w, rows);
}

edgekit_status edgekit_sea_estimate(const edgekit_context *context, const edgekit_sea_weights *weights,
                                    const edgekit_sea_state *state, const float *q, const float *k, const float *v,
                                    int64_t rows, int64_t start_pos, float *scores, float *gates, float *v_mean) {
  using namespace edgekit::sea_estimate;
  const edgekit_status status = check(*weights, rows, start_pos);
  if (status != EDGEKIT_OK) return status;
  const size_t needed = edgekit_sea_estimate_scratch(context->threads, weights, rows);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "sea_estimate: scratch has %zu bytes, %zu are needed.",
                  context->scratch_size, needed);
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  const Problem problem{*weights, *state, q, k, v, rows, start_pos, scores, gates, v_mean};
  if (const auto done = run_on_gpu(problem)) return *done;
  if (start_pos == 0) clear(*weights, *state);
  kernels->run(*context, problem);
  return EDGEKIT_OK;
}
