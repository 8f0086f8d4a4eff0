// What kv_append and sparse_topk_attention ask of a cache.
#pragma once

#include <cinttypes>

#include "edgekit/ops.h"
#include "error.h"

namespace edgekit {

// Whether the cache is one, and has room for `rows` rows from start_pos.
inline edgekit_status check_kv_cache(const char *operation, const edgekit_kv_cache &cache, int64_t rows,
                                     int64_t start_pos) {
  EDGEKIT_REQUIRE(cache.dtype == EDGEKIT_FLOAT32 || cache.dtype == EDGEKIT_FLOAT16 || cache.dtype == EDGEKIT_INT8,
                  "%s: k_cache and v_cache have dtype %d: give float32, float16 or int8.", operation, cache.dtype);
  EDGEKIT_REQUIRE(cache.heads >= 1 && cache.capacity >= 1 && cache.size >= 1 && cache.capacity < INT32_MAX,
                  "%s: k_cache has shape (%" PRId64 ", %" PRId64 ", %" PRId64 "): give 1 or more, fewer than 2^31 tokens.",
                  operation, cache.heads, cache.capacity, cache.size);
  const bool scaled = cache.dtype == EDGEKIT_INT8;
  EDGEKIT_REQUIRE((cache.k_scale != nullptr) == scaled && (cache.v_scale != nullptr) == scaled,
                  scaled ? "%s: k_scale or v_scale is missing: int8 caches need both."
                         : "%s: k_scale or v_scale is given: only int8 caches have scales.",
                  operation);
  EDGEKIT_REQUIRE(rows >= 1, "%s: there are %" PRId64 " rows: give 1 or more.", operation, rows);
  EDGEKIT_REQUIRE(start_pos >= 0, "%s: start_pos is %" PRId64 ": give 0 or more.", operation, start_pos);
  EDGEKIT_REQUIRE(rows <= cache.capacity && start_pos <= cache.capacity - rows,
                  "%s: start_pos is %" PRId64 " and there are %" PRId64 " rows, but the cache holds %" PRId64 " tokens.",
                  operation, start_pos, rows, cache.capacity);
  return EDGEKIT_OK;
}

}  // namespace edgekit
