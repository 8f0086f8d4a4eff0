// edgekit::kv_append.out for ExecuTorch. Boxed, for it writes more than one tensor.

#include "edgekit/gpu.h"
#include "kv_cache.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "kv_append";

// (k, v, start_pos, k_cache, v_cache, k_scale, v_scale, out)
void kv_append_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::kv_append.out");
  const Tensor &k = stack[0]->toTensor(), &v = stack[1]->toTensor(), &out = stack[7]->toTensor();
  const int64_t start_pos = stack[2]->toInt();
  edgekit_kv_cache cache;
  if (!kv_cache(runtime, kName, *stack[3], *stack[4], *stack[5], *stack[6], cache)) return;
  const ScalarType type = k.scalar_type() == ScalarType::Half ? ScalarType::Half : ScalarType::Float;
  if (!check_rank(runtime, kName, "k", k, 3)) return;
  const int64_t rows = k.size(1);
  if (!check_tensor(runtime, kName, "k", k, type, {cache.heads, rows, cache.size}) ||
      !check_tensor(runtime, kName, "v", v, type, {cache.heads, rows, cache.size}) ||
      !check_tensor(runtime, kName, "out", out, ScalarType::Long, {}))
    return;
  edgekit_context context;
  if (!make_context(runtime, 0, context)) return;
  const edgekit_dtype dtype = type == ScalarType::Half ? EDGEKIT_FLOAT16 : EDGEKIT_FLOAT32;
  const int64_t length = start_pos + rows;
  // `out` may lie where a GPU is at work.
  if (check_status(runtime, edgekit_kv_append(&context, &cache, dtype, k.const_data_ptr(), v.const_data_ptr(), rows,
                                              start_pos)))
    check_status(runtime, edgekit_gpu_write(out.mutable_data_ptr<int64_t>(), &length, sizeof length));
}

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::kv_append.out", kv_append_out);

}  // namespace
}  // namespace edgekit::executorch_binding
