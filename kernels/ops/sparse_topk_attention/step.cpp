// One token through SEA's attention on a GPU: the launch.

#include "step.h"

#include <algorithm>

namespace edgekit::sparse_topk_attention {
namespace {

constexpr const char *kKernels[] = {"edgekit_sea_step_float32", "edgekit_sea_step_float16", "edgekit_sea_step_int8"};

// Bytes, so that what follows is aligned as device memory is.
constexpr size_t room(size_t floats) { return (floats * sizeof(float) + 255) / 256 * 256; }

}  // namespace

bool enqueue_step(cuda::Queue &queue, const edgekit_sea_weights &weights, const edgekit_sea_state &state,
                  const edgekit_kv_cache &cache, const float *q, const float *k, const float *v, int64_t start_pos,
                  int64_t k_budget, float *out) {
  if (!takes(cache, 1, weights.cells, start_pos, k_budget)) return false;
  StepParams params{};
  params.estimate.weights = sea_estimate::cuda_weights(weights);
  params.estimate.state = sea_estimate::cuda_state(state);
  params.estimate.q = q;
  params.estimate.k = k;
  params.estimate.v = v;
  params.estimate.token = start_pos;
  params.append = kv_append::make_params(cache, EDGEKIT_FLOAT32, k, v, 1, start_pos);
  CudaParams &attention = params.attention;
  attention = make_params(cache, q, 1, weights.cells, start_pos, k_budget);
  attention.out = out;

  const char *kernel = kernel_for(cache.dtype, kKernels);
  const Layout at = make_layout(attention.heads, attention.cells, attention.size, 0);
  cuda::Shape shape;
  shape.threads = kStepThreads;
  shape.cooperative = true;
  shape.shared_bytes =
      std::max(sea_estimate::step_shared(params.estimate.weights, kStepThreads), static_cast<size_t>(at.words) * 4);
  if (shape.shared_bytes > queue.limits().shared_bytes) return false;
  const unsigned most = queue.resident_blocks(kernel, shape.threads, shape.shared_bytes);
  if (most == 0) return false;
  // The estimator keeps two blocks a head busy, attention one for two parts; more would only be waited for.
  const int64_t tokens = start_pos + 1, positions = cache.heads * std::min(tokens, k_budget);
  const int64_t paying = std::max(2 * cache.heads, positions / (2 * kDealt));
  shape.blocks_x = static_cast<unsigned>(std::min<int64_t>(most, paying));

  const auto heads = static_cast<size_t>(cache.heads), size = static_cast<size_t>(cache.size);
  const size_t scores = room(heads * static_cast<size_t>(weights.cells)), gates = room(heads * 2);
  const size_t v_mean = room(heads * size), rows = room(sea_estimate::step_scratch(params.estimate.weights) / 4);
  const size_t parts = static_cast<size_t>(shape.blocks_x) * (kStepThreads / 32) + heads - 1;
  const size_t partials = room(parts * static_cast<size_t>(partial_size(attention.size)));
  constexpr size_t kCleared = 256;  // the barrier and the counter
  auto *memory = static_cast<char *>(queue.scratch(kCleared + scores + gates + v_mean + rows + partials));
  if (memory == nullptr || !queue.clear(memory, kCleared)) return false;
  params.barrier = reinterpret_cast<cuda::GridBarrier *>(memory);
  attention.arrived = reinterpret_cast<unsigned *>(memory + 128);
  memory += kCleared;
  const auto take = [&](size_t bytes) {
    auto *taken = reinterpret_cast<float *>(memory);
    memory += bytes;
    return taken;
  };
  attention.scores = params.estimate.scores = take(scores);
  attention.gates = params.estimate.gates = take(gates);
  attention.v_mean = params.estimate.v_mean = take(v_mean);
  params.estimate.rows = take(rows);
  attention.partials = take(partials);
  return queue.launch(kernel, shape, params);
}

}  // namespace edgekit::sparse_topk_attention
