// sparse_topk_attention: arguments, and rows or heads to threads.

#include "sparse_topk_attention.h"

#include <algorithm>
#include <cinttypes>
#include <optional>

#include "../common/device_cache.h"
#include "../common/error.h"
#include "../common/kv_cache.h"
#include "../common/select.h"
#include "../common/work.h"
#include "cuda.h"
#include "cuda/call.h"

namespace edgekit::sparse_topk_attention {
namespace {

// Numbers of the cache that are worth a thread's wakening.
constexpr int64_t kGrain = 16384;

template <typename T>
Attend<T> attention(const Kernels &kernels);
template <>
Attend<float> attention(const Kernels &kernels) {
  return kernels.float32;
}
template <>
Attend<uint16_t> attention(const Kernels &kernels) {
  return kernels.float16;
}
template <>
Attend<int8_t> attention(const Kernels &kernels) {
  return kernels.int8;
}

template <typename T>
struct Call {
  const Kernels &kernels;
  const edgekit_kv_cache &cache;
  const float *q, *scores, *gates, *v_mean;
  int64_t rows, cells, start_pos, k_budget;
  float *out;

  int64_t tokens(int64_t row) const { return start_pos + row + 1; }
  int64_t chosen_count(int64_t row) const { return budget(cache.heads, cells, tokens(row), k_budget); }

  int64_t work(int64_t row) const { return row_work(cache, tokens(row), cells, k_budget); }

  // The row's alive cells, nullptr for all.
  const int32_t *rank(int64_t row, void *scratch) const {
    const int64_t n = chosen_count(row);
    if (n == cache.heads * cells) return nullptr;
    return kernels.rank(scores + row * cells, cache.heads, cells, rows * cells, n, scratch);
  }

  void attend(int64_t row, const int32_t *chosen, int64_t head, void *scratch) const {
    const int64_t n = chosen == nullptr ? 0 : chosen_count(row), first = head * cells;
    const int32_t *begin = std::lower_bound(chosen, chosen + n, first);
    const int32_t *end = std::lower_bound(begin, chosen + n, first + cells);
    const int64_t place = head * rows + row, tokens_before = head * cache.capacity;
    const T *k = static_cast<const T *>(cache.k), *v = static_cast<const T *>(cache.v);
    attention<T>(kernels)({k + tokens_before * cache.size, v + tokens_before * cache.size,
                           cache.k_scale == nullptr ? nullptr : cache.k_scale + tokens_before,
                           cache.v_scale == nullptr ? nullptr : cache.v_scale + tokens_before, q + place * cache.size,
                           gates + place * 2, v_mean + place * cache.size, out + place * cache.size, cache.size,
                           tokens(row), cells, chosen == nullptr ? nullptr : begin, end - begin, first},
                          scratch);
  }
};

// The head at which part `index` of `parts` begins, so that each has about as many alive cells as the others.
int64_t first_head(int64_t index, int64_t parts, int64_t heads, int64_t cells, const int32_t *chosen, int64_t n) {
  if (index == 0 || index == parts || chosen == nullptr) return heads * index / parts;
  return (chosen[n * index / parts] + cells / 2) / cells;
}

template <typename T>
void run(const edgekit_context &context, const Call<T> &call) {
  const int64_t heads = call.cache.heads;
  const size_t ranking = rank_scratch(heads * call.cells), one = ranking + head_scratch(call.cache.size);
  char *scratch = static_cast<char *>(context.scratch);
  if (call.rows >= context.threads) {
    const int64_t grain = 1 + kGrain / call.work(call.rows - 1);
    share(context, call.rows, grain, [&](int task, int64_t begin, int64_t end) {
      char *mine = scratch + task * one;
      for (int64_t row = begin; row < end; ++row) {
        const int32_t *chosen = call.rank(row, mine);
        for (int64_t head = 0; head < heads; ++head) call.attend(row, chosen, head, mine + ranking);
      }
    });
    return;
  }
  for (int64_t row = 0; row < call.rows; ++row) {
    const int32_t *chosen = call.rank(row, scratch);
    const int64_t n = call.chosen_count(row);
    const int64_t parts = std::clamp<int64_t>(call.work(row) / kGrain, 1, std::min<int64_t>(context.threads, heads));
    share(context, parts, 1, [&](int task, int64_t begin, int64_t end) {
      const int64_t last = first_head(end, parts, heads, call.cells, chosen, n);
      for (int64_t head = first_head(begin, parts, heads, call.cells, chosen, n); head < last; ++head)
        call.attend(row, chosen, head, scratch + task * one + ranking);
    });
  }
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(const edgekit_kv_cache &cache, const float *q, const float *scores,
                                         const float *gates, const float *v_mean, int64_t rows, int64_t cells,
                                         int64_t start_pos, int64_t k_budget, float *out) {
  const int64_t numbers = cache.heads * rows * cache.size;
  cuda::Call call(cuda::Operator::sparse_topk_attention, rows * row_work(cache, start_pos + rows, cells, k_budget));
  const edgekit_kv_cache mapped = on_device(call, cache, false);
  q = call.in(q, numbers);
  scores = call.in(scores, cache.heads * rows * cells);
  gates = call.in(gates, cache.heads * rows * 2);
  v_mean = call.in(v_mean, numbers);
  out = call.out(out, numbers);
  return call.finish(call.ready() && enqueue(call.queue(), mapped, q, scores, gates, v_mean, rows, cells, start_pos,
                                             k_budget, out));
}

}  // namespace

edgekit_status check(const edgekit_kv_cache &cache, int64_t rows, int64_t cells, int64_t start_pos, int64_t k_budget) {
  const edgekit_status status = check_kv_cache("sparse_topk_attention", cache, rows, start_pos);
  if (status != EDGEKIT_OK) return status;
  EDGEKIT_REQUIRE(cells >= 1 && cells < INT32_MAX / cache.heads,
                  "sparse_topk_attention: the last dimension of scores is %" PRId64
                  ": give 1 or more, and fewer than 2^31 cells in all heads.",
                  cells);
  EDGEKIT_REQUIRE(k_budget >= 1 && k_budget < INT32_MAX,
                  "sparse_topk_attention: k_budget is %" PRId64 ": give 1 to 2^31 - 2.", k_budget);
  return EDGEKIT_OK;
}

size_t rank_scratch(int64_t cells) { return room<float>(cells) + selection_scratch(cells, cells); }

size_t head_scratch(int64_t size) { return room<double>(size + kOverhang); }

}  // namespace edgekit::sparse_topk_attention

size_t edgekit_sparse_topk_attention_scratch(int threads, int64_t heads, int64_t cells, int64_t size) {
  using namespace edgekit::sparse_topk_attention;
  return static_cast<size_t>(threads) * (rank_scratch(heads * cells) + head_scratch(size));
}

edgekit_status edgekit_sparse_topk_attention(const edgekit_context *context, const edgekit_kv_cache *cache,
                                             const float *q, const float *scores, const float *gates,
                                             const float *v_mean, int64_t rows, int64_t cells, int64_t start_pos,
                                             int64_t k_budget, float *out) {
  using namespace edgekit::sparse_topk_attention;
  const edgekit_status status = check(*cache, rows, cells, start_pos, k_budget);
  if (status != EDGEKIT_OK) return status;
  const size_t needed = edgekit_sparse_topk_attention_scratch(context->threads, cache->heads, cells, cache->size);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "sparse_topk_attention: scratch has %zu bytes, %zu are needed.",
                  context->scratch_size, needed);
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  const auto with = [&](auto type) {
    const Call<decltype(type)> call{*kernels, *cache, q, scores, gates, v_mean, rows, cells, start_pos, k_budget, out};
    run(*context, call);
  };
  if (const auto done = run_on_gpu(*cache, q, scores, gates, v_mean, rows, cells, start_pos, k_budget, out))
    return *done;
  switch (cache->dtype) {
    case EDGEKIT_FLOAT32:
      with(float());
      break;
    case EDGEKIT_FLOAT16:
      with(uint16_t());
      break;
    case EDGEKIT_INT8:
      with(int8_t());
  }
  return EDGEKIT_OK;
}
