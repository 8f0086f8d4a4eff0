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
  if (x.dim() != 4 || weight.dim() != 4 || padding.size() != 2)
    return fail(runtime, "conv2d: x and weight must have 4 dimensions, padding 2 numbers.");
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const int64_t o = weight.size(0), kh = weight.size(2), kw = weight.size(3);
  const float *bias = nullptr;
  if (!stack[2]->isNone()) {
    const Tensor &tensor = stack[2]->toTensor();
    if (!check_tensor(runtime, kName, "bias", tensor, ScalarType::Float, {o})) return;
    bias = numbers(tensor);
  }
  const int64_t out_h = h + 2 * padding[0] - kh + 1, out_w = w + 2 * padding[1] - kw + 1;
  if (out_h < 1 || out_w < 1) return fail(runtime, "conv2d: weight is larger than x with its padding.");
  const executorch::aten::SizesType sizes[] = {
      static_cast<executorch::aten::SizesType>(n), static_cast<executorch::aten::SizesType>(o),
      static_cast<executorch::aten::SizesType>(out_h), static_cast<executorch::aten::SizesType>(out_w)};
  if (!check_tensor(runtime, kName, "x", x, ScalarType::Float, {n, c, h, w}) ||
      !check_tensor(runtime, kName, "weight", weight, ScalarType::Float, {o, c, kh, kw}) ||
      !resize(runtime, y, sizes, 4) ||
      !check_tensor(runtime, kName, "out", y, ScalarType::Float, {n, o, out_h, out_w}))
    return;
  edgekit_context context;
  const size_t size = edgekit_conv2d_scratch(threads(), n, c, h, w, o, kh, kw, padding[0], padding[1]);
  if (!make_context(runtime, size, context)) return;
  check_status(runtime, edgekit_conv2d(&context, numbers(x), n, c, h, w, numbers(weight), o, kh, kw, bias, padding[0],
                                       padding[1], static_cast<float>(activation), y.mutable_data_ptr<float>()));
}

const executorch::runtime::Kernel kKernels[] = {
    executorch::runtime::Kernel("edgekit::conv2d.out", conv2d_out),
};
[[maybe_unused]] const auto kRegistered = executorch::runtime::register_kernels(Span(kKernels));

}  // namespace
}  // namespace edgekit::executorch_binding
