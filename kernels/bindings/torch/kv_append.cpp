// torch.ops.edgekit.kv_append on the CPU.

#include "kv_cache.h"

namespace edgekit::torch_binding {
namespace {

constexpr char kName[] = "kv_append";

Tensor kv_append_out(const Tensor &k, const Tensor &v, int64_t start_pos, const Tensor &k_cache, const Tensor &v_cache,
                     std::optional<Tensor> k_scale, std::optional<Tensor> v_scale, Tensor out) {
  const edgekit_kv_cache cache = kv_cache(kName, k_cache, v_cache, k_scale, v_scale);
  const ScalarType type = k.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half)
    raise("kv_append: k has dtype " + std::to_string(static_cast<int>(type)) +
          " (torch's ScalarType): give float32 or float16.");
  check_rank(kName, "k", k, 3);
  const int64_t rows = k.size(1);
  check_tensor(kName, "k", k, type, {cache.heads, rows, cache.size});
  check_tensor(kName, "v", v, type, {cache.heads, rows, cache.size});
  check_tensor(kName, "out", out, ScalarType::Long, {});
  const Call call(0);
  check_status(edgekit_kv_append(call.context(), &cache, type == ScalarType::Float ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16,
                                 k.const_data_ptr(), v.const_data_ptr(), rows, start_pos));
  *static_cast<int64_t *>(out.mutable_data_ptr()) = start_pos + rows;
  return out;
}

Tensor kv_append(const Tensor &k, const Tensor &v, int64_t start_pos, const Tensor &k_cache, const Tensor &v_cache,
                 std::optional<Tensor> k_scale, std::optional<Tensor> v_scale) {
  const int64_t none = 0;
  return kv_append_out(k, v, start_pos, k_cache, v_cache, k_scale, v_scale, make(&none, 0, aoti_torch_dtype_int64()));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("kv_append", TORCH_BOX(&kv_append));
  m.impl("kv_append.out", TORCH_BOX(&kv_append_out));
}

}  // namespace edgekit::torch_binding
