// torch.ops.edgekit.kv_append on CPUs and GPUs.

#include "call.h"
#include "gpu_call.h"
#include "kv_cache.h"

namespace edgekit::torch_binding {
namespace {

Tensor kv_append_out(const Tensor &k, const Tensor &v, int64_t start_pos, const Tensor &k_cache, const Tensor &v_cache,
                     std::optional<Tensor> k_scale, std::optional<Tensor> v_scale, Tensor out) {
  const Arguments check("kv_append", "k", k);
  const edgekit_kv_cache cache = kv_cache(check, k_cache, v_cache, k_scale, v_scale);
  const ScalarType type = k.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half)
    check.refuse("k", "has dtype " + std::to_string(static_cast<int>(type)) +
                          " (torch's ScalarType): give float32 or float16.");
  check.rank("k", k, 3);
  const int64_t rows = k.size(1);
  check.tensor("k", k, type, {cache.heads, rows, cache.size});
  check.tensor("v", v, type, {cache.heads, rows, cache.size});
  check.tensor("out", out, ScalarType::Long, {});
  const edgekit_dtype dtype = type == ScalarType::Float ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16;
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (!call.launched(edgekit_launch_kv_append(call.stream(), &cache, dtype, k.const_data_ptr(), v.const_data_ptr(),
                                                rows, start_pos)))
      reference<1>("kv_append", k, v, start_pos, k_cache, v_cache, k_scale, v_scale);
    torch::stable::fill_(out, static_cast<double>(start_pos + rows));
    return out;
  }
  const Call call(0);
  check_status(
      edgekit_kv_append(call.context(), &cache, dtype, k.const_data_ptr(), v.const_data_ptr(), rows, start_pos));
  *static_cast<int64_t *>(out.mutable_data_ptr()) = start_pos + rows;
  return out;
}

Tensor kv_append(const Tensor &k, const Tensor &v, int64_t start_pos, const Tensor &k_cache, const Tensor &v_cache,
                 std::optional<Tensor> k_scale, std::optional<Tensor> v_scale) {
  const Tensor out = Arguments("kv_append", "k", k).make(nullptr, 0, aoti_torch_dtype_int64());
  return kv_append_out(k, v, start_pos, k_cache, v_cache, k_scale, v_scale, out);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("kv_append", TORCH_BOX(&kv_append));
  m.impl("kv_append.out", TORCH_BOX(&kv_append_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("kv_append", TORCH_BOX(&kv_append));
  m.impl("kv_append.out", TORCH_BOX(&kv_append_out));
}

}  // namespace edgekit::torch_binding
