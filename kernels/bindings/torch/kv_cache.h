// The KV cache of a torch call.
#pragma once

#include <optional>

#include "arguments.h"

namespace edgekit::torch_binding {

// Caches (H, T_max, d) of one dtype, with scales (H, T_max) where they are int8.
inline edgekit_kv_cache kv_cache(const Arguments &check, const Tensor &k, const Tensor &v,
                                 const std::optional<Tensor> &k_scale, const std::optional<Tensor> &v_scale) {
  check.layout("k_cache", k);
  check.rank("k_cache", k, 3);
  const int64_t heads = k.size(0), capacity = k.size(1), size = k.size(2);
  const ScalarType type = k.scalar_type();
  edgekit_kv_cache cache{EDGEKIT_FLOAT32, heads, capacity, size, nullptr, nullptr, nullptr, nullptr};
  if (type == ScalarType::Half) {
    cache.dtype = EDGEKIT_FLOAT16;
  } else if (type == ScalarType::Char) {
    cache.dtype = EDGEKIT_INT8;
  } else if (type != ScalarType::Float) {
    check.refuse("k_cache", "has dtype " + std::to_string(static_cast<int>(type)) +
                                " (torch's ScalarType): give float32, float16 or int8.");
  }
  check.tensor("v_cache", v, type, {heads, capacity, size});
  cache.k = k.mutable_data_ptr();
  cache.v = v.mutable_data_ptr();
  if (k_scale.has_value()) {
    check.numbers("k_scale", *k_scale, {heads, capacity});
    cache.k_scale = changed(*k_scale);
  }
  if (v_scale.has_value()) {
    check.numbers("v_scale", *v_scale, {heads, capacity});
    cache.v_scale = changed(*v_scale);
  }
  return cache;
}

}  // namespace edgekit::torch_binding
