// sea_estimate on a GPU: launches.

#include "cuda.h"

#include <algorithm>
#include <iterator>

namespace edgekit::sea_estimate {
namespace {

// Bytes that a block may have on the least GPU of these kernels (8.6 and 8.9).
constexpr size_t kMostShared = 99 << 10;

// More rows go in blocks, for which scratch has room. A block of rows keeps a GPU busy when every multiprocessor has
// some twelve tiles, four times as many as run there at once; on a small GPU more rows would only need more memory.
constexpr int64_t kMostScratch = 32 << 20, kTilesOfMultiprocessor = 12;
constexpr int64_t kBefore = 4;  // rows that a convolution sees before its own

// One token by one cooperative launch.
bool enqueue_step(cuda::Queue &queue, const CudaStep &step) {
  const char *kernel = "edgekit_sea_estimate_step";
  cuda::Shape shape;
  shape.threads = kStepThreads;
  shape.shared_bytes = step_shared(step.weights, kStepThreads);
  shape.cooperative = true;
  const unsigned most = queue.resident_blocks(kernel, shape.threads, shape.shared_bytes);
  if (most == 0) return false;
  shape.blocks_x = std::min(most, 2 * static_cast<unsigned>(step.weights.heads));
  constexpr size_t kBarrier = 256;
  auto *memory = static_cast<char *>(queue.scratch(kBarrier + step_scratch(step.weights)));
  if (memory == nullptr || !queue.clear(memory, kBarrier)) return false;
  CudaStepParams params{step, reinterpret_cast<cuda::GridBarrier *>(memory)};
  params.step.rows = reinterpret_cast<float *>(memory + kBarrier);
  return queue.launch(kernel, shape, params);
}

int64_t whole_tiles(int64_t rows) { return (rows + kTile - 1) / kTile * kTile; }
constexpr unsigned shares(int64_t count, unsigned each) { return static_cast<unsigned>((count + each - 1) / each); }

int64_t row_size(const CudaWeights &w) { return int64_t{2} * w.heads * w.width; }
// The second convolution's inputs lie where contexts were, behind the rows before them.
int64_t hidden_size(const CudaWeights &w, int64_t rows) {
  return kBefore * row_size(w) + rows * std::max(row_size(w), int64_t{2} * w.heads * w.size);
}

int64_t rows_at_once(const cuda::Queue &queue, const CudaWeights &w) {
  const int64_t tile = sums_of_tile(w) + hidden_size(w, kTile) + kTile * row_size(w);
  const int64_t room = kMostScratch / static_cast<int64_t>(sizeof(float)) / tile;
  const int64_t busy = kTilesOfMultiprocessor * queue.limits().multiprocessors / w.heads;
  return std::max<int64_t>(std::min(room, busy), 1) * kTile;
}

// Scratch of so many rows.
bool take_scratch(cuda::Queue &queue, const CudaWeights &w, int64_t rows, CudaRows &p) {
  const auto take = [&](int64_t count) {
    return static_cast<float *>(queue.scratch(static_cast<size_t>(count) * sizeof(float)));
  };
  p.sums = take(whole_tiles(rows) / kTile * sums_of_tile(w));
  p.channels = take((kBefore + rows) * row_size(w));
  p.hidden = take(hidden_size(w, rows));
  if (p.sums == nullptr || p.channels == nullptr || p.hidden == nullptr) return false;
  p.context = p.hidden + kBefore * row_size(w);
  return true;
}

bool enqueue_rows(cuda::Queue &queue, const CudaRows &p) {
  const CudaWeights &w = p.weights;
  cuda::Shape tiles{static_cast<unsigned>(p.tiles), static_cast<unsigned>(w.heads), kTileThreads, 0, false};
  const auto of_tiles = [&](const char *kernel, size_t shared_bytes) {
    tiles.shared_bytes = shared_bytes;
    return queue.launch(kernel, tiles, p);
  };
  const int64_t begun = sums_of_state(w) + 2 * kBefore * row_size(w);
  const cuda::Shape scan{shares(begun, kScanThreads), 1, kScanThreads, 0, false};
  const unsigned across = shares(w.width, kConvolvePlaces) * shares(2 * w.heads, kConvolveOutputs);
  const cuda::Shape convolve{shares(p.rows, kConvolveRows), across, kConvolveThreads, kConvolveShared, false};
  const cuda::Shape score{shares(p.rows, kScoreRows), 1, kScoreThreads, score_shared(w), false};
  const CudaConvolve first{p.channels, w.conv1_weight, w.conv1_bias, p.hidden + kBefore * row_size(w),
                           p.state.conv1_rows, p.start_pos, 2 * w.heads, w.width, p.rows};
  const CudaConvolve second{p.hidden, w.conv2_weight, w.conv2_bias, p.channels,
                            p.state.conv2_rows, p.start_pos, 2 * w.heads, w.width, p.rows};
  return of_tiles("edgekit_sea_estimate_sums", kSumsShared) &&
         queue.launch("edgekit_sea_estimate_scan", scan, p) &&
         of_tiles("edgekit_sea_estimate_attend", kAttendShared) &&
         of_tiles("edgekit_sea_estimate_encode", encode_shared(w)) &&
         queue.launch("edgekit_sea_estimate_convolve", convolve, first) &&
         queue.launch("edgekit_sea_estimate_convolve", convolve, second) &&
         queue.launch("edgekit_sea_estimate_score", score, p);
}

// Whether blocks have the memory for these sizes.
bool takes(const cuda::Queue &queue, const CudaWeights &w) {
  const size_t most = std::min(queue.limits().shared_bytes, kMostShared);
  const size_t needed = std::max({step_shared(w, kStepThreads), encode_shared(w), score_shared(w), kConvolveShared,
                                  kSumsShared, kAttendShared});
  return needed <= most;
}

}  // namespace

CudaWeights cuda_weights(const edgekit_sea_weights &w) {
  const auto narrow = [](int64_t size) { return static_cast<int>(size); };
  return {narrow(w.heads), narrow(w.size), narrow(w.features), narrow(w.width), narrow(w.cells), narrow(w.taps),
          w.projection, w.positions,
          w.encoder_weight, w.encoder_bias, w.encoder_norm_weight, w.encoder_norm_bias,
          w.gates_weight, w.gates_bias,
          w.decoder_weight, w.decoder_bias,
          w.row_norm_weight, w.row_norm_bias,
          w.conv1_weight, w.conv1_bias, w.conv2_weight, w.conv2_bias,
          w.mix_weight, w.mix_bias, w.map_weight,
          w.map_start,
          w.score_norm_weight, w.score_norm_bias};
}

bool enqueue(cuda::Queue &queue, const edgekit_sea_weights &weights, const edgekit_sea_state &state, const float *q,
             const float *k, const float *v, int64_t rows, int64_t start_pos, float *scores, float *gates,
             float *v_mean) {
  const CudaWeights w = cuda_weights(weights);
  if (!takes(queue, w)) return false;
  if (rows == 1 && enqueue_step(queue, {w, cuda_state(state), q, k, v, scores, gates, v_mean, nullptr, start_pos}))
    return true;
  // As few blocks of rows as may be, of like size.
  const int64_t at_once = rows_at_once(queue, w), blocks = (rows + at_once - 1) / at_once;
  const int64_t most = whole_tiles((rows + blocks - 1) / blocks);
  CudaRows p{w, cuda_state(state), q, k, v, scores, gates, v_mean, rows, start_pos, 0, 0, false, nullptr, nullptr,
             nullptr, nullptr};
  const float *lines[] = {q, k, v, w.projection, w.positions, w.encoder_weight, w.decoder_weight};
  p.vectors = w.size % 4 == 0 && std::all_of(std::begin(lines), std::end(lines), [](const float *line) {
                return reinterpret_cast<uintptr_t>(line) % 16 == 0;
              });
  if (!take_scratch(queue, w, std::min(most, rows), p)) return false;
  for (int64_t first = 0; first < rows; first += most) {
    const int64_t d = w.size;
    p.q = q + first * d;
    p.k = k + first * d;
    p.v = v + first * d;
    p.scores = scores + first * w.cells;
    p.gates = gates + first * 2;
    p.v_mean = v_mean + first * d;
    p.start_pos = start_pos + first;
    p.rows = static_cast<int>(std::min(most, rows - first));
    p.tiles = static_cast<int>(whole_tiles(p.rows) / kTile);
    if (!enqueue_rows(queue, p)) return false;
  }
  return true;
}

}  // namespace edgekit::sea_estimate
