// edgekit::conv2d.out for ExecuTorch.

#include "call.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "conv2d";

// (x, weight, bias, padding, activation, out)
void conv2d_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::conv2d.out");
  const Tensor &x = stack[0]->toTensor(), &weight = stack[1]->toTensor(), &y = stack[5]->toTensor();
  const auto padding = stack[3]->toIntList();
  const double activation = stack[4]->isInt() ? static_cast<double>(stack[4]->toInt()) : stack[4]->toDouble();
  if (!check_rank(runtime, kName, "x", x, 4) || !check_rank(runtime, kName, "weight", weight, 4)) return;
  if (padding.size() != 2)
    return fail(runtime, "conv2d: padding has %zu numbers: give 2, vertical and horizontal.", padding.size());
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const int64_t o = weight.size(0), kh = weight.size(2), kw = weight.size(3);
  const bool with_bias = !stack[2]->isNone();
  if (!check_dtype(runtime, kName, "x", x, ScalarType::Float) ||
      !check_tensor(runtime, kName, "weight", weight, ScalarType::Float, {o, c, kh, kw}) ||
      (with_bias && !check_tensor(runtime, kName, "bias", stack[2]->toTensor(), ScalarType::Float, {o})))
    return;
  const float *bias = with_bias ? numbers(stack[2]->toTensor()) : nullptr;
  const int64_t out_h = h + 2 * padding[0] - kh + 1, out_w = w + 2 * padding[1] - kw + 1;
  const SizesType sizes[] = {static_cast<SizesType>(n), static_cast<SizesType>(o), static_cast<SizesType>(out_h),
                             static_cast<SizesType>(out_w)};
  // The operator says what is wrong with sizes that leave no output, or too large a one.
  const bool possible = out_h > 0 && out_w > 0 && out_h < INT32_MAX && out_w < INT32_MAX;
  if (possible && !resize(runtime, kName, "out", y, ScalarType::Float, {sizes, 4})) return;
  edgekit_context context;
  const size_t size = edgekit_conv2d_scratch(threads(), n, c, h, w, o, kh, kw, padding[0], padding[1]);
  if (!make_context(runtime, size, context)) return;
  check_status(runtime, edgekit_conv2d(&context, numbers(x), n, c, h, w, numbers(weight), o, kh, kw, bias, padding[0],
                                       padding[1], static_cast<float>(activation), y.mutable_data_ptr<float>()));
}

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::conv2d.out", conv2d_out);

}  // namespace
}  // namespace edgekit::executorch_binding
