// The KV cache of a call.
#pragma once

#include "kernel.h"

namespace edgekit::litert_binding {

// What a cache tensor holds; throws Failure for another type.
inline edgekit_dtype cache_dtype(const Call &call, const Tensor &cache) {
  if (cache.type == Type::float32) return EDGEKIT_FLOAT32;
  if (cache.type == Type::float16) return EDGEKIT_FLOAT16;
  if (cache.type == Type::int8) return EDGEKIT_INT8;
  throw failure("%s: k_cache is none of float32, float16 and int8.", call.name);
}

}  // namespace edgekit::litert_binding
