// sea_step: one token through the estimator, into the cache, and through attention.

#include <algorithm>
#include <cinttypes>
#include <optional>

#include "../common/device_cache.h"
#include "../common/error.h"
#include "../common/work.h"
#include "../sea_estimate/device_memory.h"
#include "cuda/call.h"
#include "sparse_topk_attention.h"
#include "step.h"

namespace edgekit::sparse_topk_attention {
namespace {

struct Step {
  const edgekit_sea_weights &weights;
  const edgekit_sea_state &state;
  const edgekit_kv_cache &cache;
  const float *q, *k, *v;
  int64_t start_pos, k_budget;
  float *out;
};

// What the estimate gives to attention, at the beginning of the scratch.
size_t between(const edgekit_sea_weights &w) {
  return room<float>(w.heads * w.cells) + room<float>(w.heads * 2) + room<float>(w.heads * w.size);
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(const Step &p) {
  cuda::Call call(cuda::Operator::sparse_topk_attention,
                  row_work(p.cache, p.start_pos + 1, p.weights.cells, p.k_budget));
  const edgekit_sea_weights weights = sea_estimate::on_device(call, p.weights);
  const edgekit_sea_state state = sea_estimate::on_device(call, p.weights, p.state);
  const edgekit_kv_cache cache = on_device(call, p.cache, true);
  const int64_t numbers = p.cache.heads * p.cache.size;
  const float *q = call.in(p.q, numbers), *k = call.in(p.k, numbers), *v = call.in(p.v, numbers);
  float *out = call.out(p.out, numbers);
  return call.finish(call.ready() && enqueue_step(call.queue(), weights, state, cache, q, k, v, p.start_pos, p.k_budget,
                                                  out));
}

edgekit_status run(const edgekit_context &context, const Step &p) {
  Arena arena(context.scratch);
  float *scores = arena.take<float>(p.weights.heads * p.weights.cells);
  float *gates = arena.take<float>(p.weights.heads * 2), *v_mean = arena.take<float>(p.weights.heads * p.weights.size);
  edgekit_context rest = context;
  rest.scratch = static_cast<char *>(context.scratch) + between(p.weights);
  rest.scratch_size -= between(p.weights);
  edgekit_status status =
      edgekit_sea_estimate(&rest, &p.weights, &p.state, p.q, p.k, p.v, 1, p.start_pos, scores, gates, v_mean);
  if (status == EDGEKIT_OK) status = edgekit_kv_append(&rest, &p.cache, EDGEKIT_FLOAT32, p.k, p.v, 1, p.start_pos);
  if (status != EDGEKIT_OK) return status;
  return edgekit_sparse_topk_attention(&rest, &p.cache, p.q, scores, gates, v_mean, 1, p.weights.cells, p.start_pos,
                                       p.k_budget, p.out);
}

}  // namespace
}  // namespace edgekit::sparse_topk_attention

size_t edgekit_sea_step_scratch(int threads, const edgekit_sea_weights *weights) {
  const size_t estimate = edgekit_sea_estimate_scratch(threads, weights, 1);
  if (estimate == 0) return 0;  // such sizes are not taken
  const size_t attention =
      edgekit_sparse_topk_attention_scratch(threads, weights->heads, weights->cells, weights->size);
  return edgekit::sparse_topk_attention::between(*weights) + std::max(estimate, attention);
}

edgekit_status edgekit_sea_step(const edgekit_context *context, const edgekit_sea_weights *weights,
                                const edgekit_sea_state *state, const edgekit_kv_cache *cache, const float *q,
                                const float *k, const float *v, int64_t start_pos, int64_t k_budget, float *out) {
  using namespace edgekit::sparse_topk_attention;
  edgekit_status status = edgekit::sea_estimate::check(*weights, 1, start_pos);
  if (status == EDGEKIT_OK) status = check(*cache, 1, weights->cells, start_pos, k_budget);
  if (status != EDGEKIT_OK) return status;
  EDGEKIT_REQUIRE(weights->heads == cache->heads && weights->size == cache->size,
                  "sea_step: the estimator has %" PRId64 " heads of %" PRId64 ", the cache %" PRId64 " of %" PRId64
                  ": give those of one layer.",
                  weights->heads, weights->size, cache->heads, cache->size);
  const size_t needed = edgekit_sea_step_scratch(context->threads, weights);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "sea_step: scratch has %zu bytes, %zu are needed.",
                  context->scratch_size, needed);
  const Step step{*weights, *state, *cache, q, k, v, start_pos, k_budget, out};
  if (const auto done = run_on_gpu(step)) return *done;
  return run(*context, step);
}
