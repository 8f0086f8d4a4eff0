// edgekit::sea_estimate.out for ExecuTorch. Boxed, for it writes more than one tensor.

#include "../sea_weights.h"
#include "call.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "sea_estimate";

// Takes the sizes from q and some of the weights, and checks the others' against them; otherwise the kernel has failed.
bool make_weights(KernelRuntimeContext &runtime, const Tensor &q, EValue &list, edgekit_sea_weights &w) {
  const auto weights = list.toTensorList();
  if (weights.size() != kSeaWeights) {
    fail(runtime, "%s: weights has %zu tensors, it must have %zu.", kName, weights.size(), size_t{kSeaWeights});
    return false;
  }
  if (!check_rank(runtime, kName, "q", q, 3) || !check_rank(runtime, kName, "projection", weights[kProjection], 2) ||
      !check_rank(runtime, kName, "positions", weights[kPositions], 2) ||
      !check_rank(runtime, kName, "row_norm_weight", weights[kRowNormWeight], 1) ||
      !check_rank(runtime, kName, "map_weight", weights[kMapWeight], 2))
    return false;
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
    if (!check_tensor(runtime, kName, weight.name, weights[index], type, Span(weight.shape, weight.rank))) return false;
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
  const auto make_room = [&](const char *argument, const Tensor &output, int64_t size) {
    const SizesType sizes[] = {static_cast<SizesType>(w.heads), static_cast<SizesType>(rows),
                               static_cast<SizesType>(size)};
    return resize(runtime, kName, argument, output, ScalarType::Float, sizes);
  };
  if (!check("q", q, {w.heads, rows, w.size}) || !check("k", k, {w.heads, rows, w.size}) ||
      !check("v", v, {w.heads, rows, w.size}) || !check("key_values", key_values, {w.heads, w.features, 2 * w.size}) ||
      !check("keys", keys, {w.heads, w.features}) || !check("values", values, {w.heads, w.size}) ||
      !check("conv1_rows", conv1_rows, {4, 2 * w.heads, w.width}) ||
      !check("conv2_rows", conv2_rows, {4, 2 * w.heads, w.width}) || !make_room("scores", scores, w.cells) ||
      !make_room("gates", gates, 2) || !make_room("v_mean", v_mean, w.size))
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

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::sea_estimate.out", estimate_out);

}  // namespace
}  // namespace edgekit::executorch_binding
