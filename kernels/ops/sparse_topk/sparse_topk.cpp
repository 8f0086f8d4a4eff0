// sparse_topk: arguments, and rows to threads.

#include "sparse_topk.h"

#include <cinttypes>

#include "../common/error.h"
#include "../common/select.h"
#include "cuda.h"
#include "cuda/call.h"

namespace edgekit::sparse_topk {
namespace {

// Numbers that are worth a thread's wakening.
constexpr int64_t kGrain = 8192;

template <typename T>
void rows(const edgekit_context &context, RowKernel<T> kernel, const void *x, int64_t count, int64_t n, int64_t k,
          bool sorted, void *values, int64_t *indices) {
  const T *from = static_cast<const T *>(x);
  T *to = static_cast<T *>(values);
  share(context, count, kGrain / n, [&](int task, int64_t begin, int64_t end) {
    void *scratch = static_cast<char *>(context.scratch) + task * row_scratch(n, k);
    for (int64_t row = begin; row < end; ++row)
      kernel(from + row * n, n, k, sorted, to + row * k, indices + row * k, scratch);
  });
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(edgekit_dtype dtype, const void *x, int64_t rows, int64_t n, int64_t k,
                                         bool sorted, void *values, int64_t *indices) {
  cuda::Call call(cuda::Operator::sparse_topk, rows * n);
  const int64_t size = dtype == EDGEKIT_FLOAT16 ? 2 : 4;
  x = call.in(x, rows * n * size);
  values = call.out(values, rows * k * size);
  indices = call.out(indices, rows * k);
  return call.finish(call.ready() && enqueue(call.queue(), dtype, x, rows, n, k, sorted, values, indices));
}

}  // namespace

edgekit_status check(edgekit_dtype dtype, int64_t rows, int64_t n, int64_t k) {
  EDGEKIT_REQUIRE(dtype == EDGEKIT_FLOAT32 || dtype == EDGEKIT_FLOAT16,
                  "sparse_topk: x has dtype %d: give float32 or float16.", dtype);
  EDGEKIT_REQUIRE(n >= 1 && n < INT32_MAX, "sparse_topk: the last dimension of x is %" PRId64 ": give 1 to 2^31 - 2.", n);
  EDGEKIT_REQUIRE(rows >= 0, "sparse_topk: x has %" PRId64 " rows.", rows);
  EDGEKIT_REQUIRE(k >= 1 && k <= n, "sparse_topk: k is %" PRId64 ", x's last dimension %" PRId64 ": give 1 to %" PRId64 ".",
                  k, n, n);
  return EDGEKIT_OK;
}

size_t row_scratch(int64_t n, int64_t k) {
  return selection_scratch(n, k) + 2 * room<int32_t>(k + kOverhang);
}

}  // namespace edgekit::sparse_topk

size_t edgekit_sparse_topk_scratch(int threads, int64_t n, int64_t k) {
  return static_cast<size_t>(threads) * edgekit::sparse_topk::row_scratch(n, k);
}

edgekit_status edgekit_sparse_topk(const edgekit_context *context, edgekit_dtype dtype, const void *x, int64_t rows,
                                   int64_t n, int64_t k, bool sorted, void *values, int64_t *indices) {
  using namespace edgekit::sparse_topk;
  if (const edgekit_status status = check(dtype, rows, n, k); status != EDGEKIT_OK) return status;
  const size_t needed = edgekit_sparse_topk_scratch(context->threads, n, k);
  EDGEKIT_REQUIRE(context->scratch_size >= needed, "sparse_topk: scratch has %zu bytes, %zu are needed.",
                  context->scratch_size, needed);
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  if (const auto done = run_on_gpu(dtype, x, rows, n, k, sorted, values, indices)) return *done;
  if (dtype == EDGEKIT_FLOAT32) {
    edgekit::sparse_topk::rows(*context, kernels->float32, x, rows, n, k, sorted, values, indices);
  } else {
    edgekit::sparse_topk::rows(*context, kernels->float16, x, rows, n, k, sorted, values, indices);
  }
  return EDGEKIT_OK;
}
