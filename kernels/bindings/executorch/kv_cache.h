// The KV cache of an ExecuTorch call.
#pragma once

#include "call.h"

namespace edgekit::executorch_binding {

// Caches (H, T_max, d) of one dtype, with scales (H, T_max) where they are int8; false if they are not, the kernel has
// failed then.
inline bool kv_cache(KernelRuntimeContext &runtime, const char *operation, EValue &k_value, EValue &v_value,
                     EValue &k_scale, EValue &v_scale, edgekit_kv_cache &cache) {
  const Tensor &k = k_value.toTensor(), &v = v_value.toTensor();
  if (k.dim() != 3) {
    check_tensor(runtime, operation, "k_cache", k, k.scalar_type(), {0, 0, 0});
    return false;
  }
  const int64_t heads = k.size(0), capacity = k.size(1), size = k.size(2);
  const ScalarType type = k.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half && type != ScalarType::Char) {
    check_tensor(runtime, operation, "k_cache", k, ScalarType::Float, {heads, capacity, size});
    return false;
  }
  if (!check_tensor(runtime, operation, "v_cache", v, type, {heads, capacity, size})) return false;
  cache = {EDGEKIT_FLOAT32, heads, capacity, size, k.mutable_data_ptr(), v.mutable_data_ptr(), nullptr, nullptr};
  if (type == ScalarType::Half) cache.dtype = EDGEKIT_FLOAT16;
  if (type == ScalarType::Char) cache.dtype = EDGEKIT_INT8;
  if (!k_scale.isNone()) {
    const Tensor &scale = k_scale.toTensor();
    if (!check_tensor(runtime, operation, "k_scale", scale, ScalarType::Float, {heads, capacity})) return false;
    cache.k_scale = scale.mutable_data_ptr<float>();
  }
  if (!v_scale.isNone()) {
    const Tensor &scale = v_scale.toTensor();
    if (!check_tensor(runtime, operation, "v_scale", scale, ScalarType::Float, {heads, capacity})) return false;
    cache.v_scale = scale.mutable_data_ptr<float>();
  }
  return true;
}

}  // namespace edgekit::executorch_binding
