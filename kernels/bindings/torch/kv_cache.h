// The KV cache of a torch call.
#pragma once

#include <optional>

#include "call.h"

namespace edgekit::torch_binding {

// Caches (H, T_max, d) of one dtype, with scales (H, T_max) where they are int8.
inline edgekit_kv_cache kv_cache(const char *operation, const Tensor &k, const Tensor &v,
                                 const std::optional<Tensor> &k_scale, const std::optional<Tensor> &v_scale) {
  check_layout(operation, "k_cache", k);
  check_rank(operation, "k_cache", k, 3);
  const int64_t heads = k.size(0), capacity = k.size(1), size = k.size(2);
  const ScalarType type = k.scalar_type();
  edgekit_kv_cache cache{EDGEKIT_FLOAT32, heads, capacity, size, nullptr, nullptr, nullptr, nullptr};
  if (type == ScalarType::Half) {
    cache.dtype = EDGEKIT_FLOAT16;
  } else if (type == ScalarType::Char) {
    cache.dtype = EDGEKIT_INT8;
  } else if (type != ScalarType::Float) {
    raise(std::string(operation) + ": k_cache has dtype " + std::to_string(static_cast<int>(type)) +
          " (torch's ScalarType): give float32, float16 or int8.");
  }
  check_tensor(operation, "v_cache", v, type, {heads, capacity, size});
  cache.k = k.mutable_data_ptr();
  cache.v = v.mutable_data_ptr();
  if (k_scale.has_value()) {
    check_tensor(operation, "k_scale", *k_scale, ScalarType::Float, {heads, capacity});
    cache.k_scale = static_cast<float *>(k_scale->mutable_data_ptr());
  }
  if (v_scale.has_value()) {
    check_tensor(operation, "v_scale", *v_scale, ScalarType::Float, {heads, capacity});
    cache.v_scale = static_cast<float *>(v_scale->mutable_data_ptr());
  }
  return cache;
}

}  // namespace edgekit::torch_binding
