// kv_append: arguments, and rows to threads.

#include "kv_append.h"

#include <cinttypes>
#include <cstring>

#include "../common/device_cache.h"
#include "../common/error.h"
#include "../common/kv_cache.h"
#include "../common/work.h"
#include "cuda.h"
#include "cuda/call.h"

namespace edgekit::kv_append {
namespace {

// Numbers that are worth a thread's wakening.
constexpr int64_t kGrain = 16384;

template <typename From>
Quantize<From> quantizer(const Kernels &kernels);
template <>
Quantize<float> quantizer(const Kernels &kernels) {
  return kernels.quantize_float32;
}
template <>
Quantize<uint16_t> quantizer(const Kernels &kernels) {
  return kernels.quantize_float16;
}

void convert(const Kernels &, const float *row, int64_t size, float *to) { std::memcpy(to, row, size * sizeof *to); }
void convert(const Kernels &, const uint16_t *row, int64_t size, uint16_t *to) {
  std::memcpy(to, row, size * sizeof *to);
}
void convert(const Kernels &kernels, const float *row, int64_t size, uint16_t *to) { kernels.narrow(row, size, to); }
void convert(const Kernels &kernels, const uint16_t *row, int64_t size, float *to) { kernels.widen(row, size, to); }

// One row into place `at` of a cache, which counts the rows of all heads.
template <typename From>
void put(const Kernels &kernels, edgekit_dtype dtype, const From *row, int64_t size, void *cache, float *scales,
         int64_t at) {
  switch (dtype) {
    case EDGEKIT_FLOAT32:
      return convert(kernels, row, size, static_cast<float *>(cache) + at * size);
    case EDGEKIT_FLOAT16:
      return convert(kernels, row, size, static_cast<uint16_t *>(cache) + at * size);
    case EDGEKIT_INT8:
      scales[at] = quantizer<From>(kernels)(row, size, static_cast<int8_t *>(cache) + at * size);
  }
}

template <typename From>
void append(const edgekit_context &context, const Kernels &kernels, const edgekit_kv_cache &cache, const From *k,
            const From *v, int64_t rows, int64_t start_pos) {
  share(context, cache.heads * rows, kGrain / cache.size, [&](int, int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / rows, row = item % rows;
      const int64_t at = head * cache.capacity + start_pos + row;
      put(kernels, cache.dtype, k + item * cache.size, cache.size, cache.k, cache.k_scale, at);
      put(kernels, cache.dtype, v + item * cache.size, cache.size, cache.v, cache.v_scale, at);
    }
  });
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(const edgekit_kv_cache &cache, edgekit_dtype dtype, const void *k,
                                         const void *v, int64_t rows, int64_t start_pos) {
  const int64_t count = cache.heads * rows * cache.size, given = count * bytes_of(dtype);
  cuda::Call call(cuda::Operator::kv_append, count);
  const edgekit_kv_cache mapped = on_device(call, cache, true);
  k = call.in(k, given);
  v = call.in(v, given);
  return call.finish(call.ready() && enqueue(call.queue(), mapped, dtype, k, v, rows, start_pos));
}

}  // namespace
}  // namespace edgekit::kv_append

edgekit_status edgekit_kv_append(const edgekit_context *context, const edgekit_kv_cache *cache, edgekit_dtype dtype,
                                 const void *k, const void *v, int64_t rows, int64_t start_pos) {
  using namespace edgekit::kv_append;
  const edgekit_status status = edgekit::check_kv_cache("kv_append", *cache, rows, start_pos);
  if (status != EDGEKIT_OK) return status;
  EDGEKIT_REQUIRE(dtype == EDGEKIT_FLOAT32 || dtype == EDGEKIT_FLOAT16,
                  "kv_append: k and v have dtype %d: give float32 or float16.", dtype);
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  if (const auto done = run_on_gpu(*cache, dtype, k, v, rows, start_pos)) return *done;
  if (dtype == EDGEKIT_FLOAT32) {
    append(*context, *kernels, *cache, static_cast<const float *>(k), static_cast<const float *>(v), rows, start_pos);
  } else {
    append(*context, *kernels, *cache, static_cast<const uint16_t *>(k), static_cast<const uint16_t *>(v), rows,
           start_pos);
  }
  return EDGEKIT_OK;
}
