// edgekit::sea_estimate.out for ExecuTorch. Boxed, for it writes more than one tensor.

#include "../sea_weights.h"
#include "call.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "sea_estimate";

// Takes the sizes from q and some of the weights, and checks the others' against them; otherwise the kernel has failed.
bool make_weights(KernelRuntimeContext &runtime, const Tensor &q, EValue &list, edgekit_sea_weights &w) {
  const auto weights = list.toTensorList();
  if (q.dim() != 3 || weights.size() != kSeaWeights || weights[kProjection].dim() != 2 ||
      weights[kPositions].dim() != 2 || weights[kRowNormWeight].dim() != 1 || weights[kMapWeight].dim() != 2) {
    fail(runtime, "sea_estimate: q or weights does not have the dimensions that it must have.");
    return false;
  }
  w = {};
  w.heads = q.size(0);
  w.size = q.size(2);
  w.features = weights[kProjection].size(0);
  w.capacity = weights[kPositions].size(0);
  w.width = weights[kRowNormWeight].size(0);
  w.cells = weights[kMapWeight].size(0);
  w.taps = weights[kMapWeight].size(1);
  const SeaWeightTable table(w);
  for (size_t index = 0; index < kSeaWeights; ++index) {
    const SeaWeight &weight = table.weights[index];
    const ScalarType type = index == kMapStart ? ScalarType::Long : ScalarType::Float;
    if (!check_tensor(runtime, kName, weight.name, weights[index], type, weight.shape, weight.rank)) return false;
    if (index != kMapStart) w.*weight.numbers = numbers(weights[index]);
  }
  w.map_start = weights[kMapStart].const_data_ptr<int64_t>();
  return true;
}

// (q, k, v, start_pos, weights, key_values, keys, values, conv1_rows, conv2_rows, scores, gates, v_mean)
void estimate_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::sea_estimate.out");
  const Tensor &q = stack[0]->toTensor(), &k = stack[1]->toTensor(), &v = stack[2]->toTensor();
  const int64_t start_pos = stack[3]->toInt();
  edgekit_sea_weights w;
  if (!make_weights(runtime, q, *stack[4], w)) return;
  const Tensor &key_values = stack[5]->toTensor(), &keys = stack[6]->toTensor(), &values = stack[7]->toTensor();
  const Tensor &conv1_rows = stack[8]->toTensor(), &conv2_rows = stack[9]->toTensor();
  const Tensor &scores = stack[10]->toTensor(), &gates = stack[11]->toTensor(), &v_mean = stack[12]->toTensor();
  const int64_t rows = q.size(1);
  const auto check = [&](const char *argument, const Tensor &tensor, std::initializer_list<int64_t> shape) {
    return check_tensor(runtime, kName, argument, tensor, ScalarType::Float, shape);
  };
  const auto make_room = [&](const Tensor &output, int64_t size) {
    const executorch::aten::SizesType sizes[] = {static_cast<executorch::aten::SizesType>(w.heads),
                                                 static_cast<executorch::aten::SizesType>(rows),
                                                 static_cast<executorch::aten::SizesType>(size)};
    return resize(runtime, output, sizes, 3);
  };
  if (!check("q", q, {w.heads, rows, w.size}) || !check("k", k, {w.heads, rows, w.size}) ||
      !check("v", v, {w.heads, rows, w.size}) || !check("key_values", key_values, {w.heads, w.features, 2 * w.size}) ||
      !check("keys", keys, {w.heads, w.features}) || !check("values", values, {w.heads, w.size}) ||
      !check("conv1_rows", conv1_rows, {4, 2 * w.heads, w.width}) ||
      !check("conv2_rows", conv2_rows, {4, 2 * w.heads, w.width}) || !make_room(scores, w.cells) ||
      !make_room(gates, 2) || !make_room(v_mean, w.size) || !check("scores", scores, {w.heads, rows, w.cells}) ||
      !check("gates", gates, {w.heads, rows, 2}) || !check("v_mean", v_mean, {w.heads, rows, w.size}))
    return;
  const edgekit_sea_state state{key_values.mutable_data_ptr<float>(), keys.mutable_data_ptr<float>(),
                                values.mutable_data_ptr<float>(), conv1_rows.mutable_data_ptr<float>(),
                                conv2_rows.mutable_data_ptr<float>()};
  edgekit_context context;
  if (!make_context(runtime, edgekit_sea_estimate_scratch(threads(), &w, rows), context)) return;
  check_status(runtime, edgekit_sea_estimate(&context, &w, &state, numbers(q), numbers(k), numbers(v), rows, start_pos,
                                             scores.mutable_data_ptr<float>(), gates.mutable_data_ptr<float>(),
                                             v_mean.mutable_data_ptr<float>()));
}

const executorch::runtime::Kernel kKernels[] = {
    executorch::runtime::Kernel("edgekit::sea_estimate.out", estimate_out),
};
[[maybe_unused]] const auto kRegistered = executorch::runtime::register_kernels(Span(kKernels));

}  // namespace
}  // namespace edgekit::executorch_binding
