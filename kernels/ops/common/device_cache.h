// A KV cache in the device's memory, for a call.
#pragma once

#include "cuda/call.h"

namespace edgekit {

inline int64_t bytes_of(edgekit_dtype dtype) {
  return dtype == EDGEKIT_FLOAT32 ? 4 : dtype == EDGEKIT_FLOAT16 ? 2 : 1;
}

// `changes`: whether the call writes into it; else it only reads.
inline edgekit_kv_cache on_device(cuda::Call &call, const edgekit_kv_cache &cache, bool changes) {
  const auto map = [&](auto *host, int64_t count) {
    return changes ? call.change(host, count) : const_cast<decltype(host)>(call.in(host, count));
  };
  const int64_t tokens = cache.heads * cache.capacity, bytes = tokens * cache.size * bytes_of(cache.dtype);
  edgekit_kv_cache mapped = cache;
  mapped.k = map(cache.k, bytes);
  mapped.v = map(cache.v, bytes);
  mapped.k_scale = map(cache.k_scale, tokens);
  mapped.v_scale = map(cache.v_scale, tokens);
  return mapped;
}

}  // namespace edgekit
