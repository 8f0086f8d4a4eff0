// torch.ops.edgekit.conv2d on the CPU.

#include <optional>
#include <vector>

#include "call.h"

namespace edgekit::torch_binding {
namespace {

// The shape of the output.
struct Sizes {
  int64_t sizes[4];
};

Sizes check_input(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias,
                  const std::vector<int64_t> &padding) {
  const Arguments check("conv2d", "x", x);
  check.rank("x", x, 4);
  check.rank("weight", weight, 4);
  check.numbers("x", x, {x.size(0), x.size(1), x.size(2), x.size(3)});
  check.numbers("weight", weight, {weight.size(0), x.size(1), weight.size(2), weight.size(3)});
  if (bias.has_value()) check.numbers("bias", *bias, {weight.size(0)});
  if (padding.size() != 2)
    raise("conv2d: padding has " + std::to_string(padding.size()) + " numbers: give 2, vertical and horizontal.");
  return {{x.size(0), weight.size(0), x.size(2) + 2 * padding[0] - weight.size(2) + 1,
           x.size(3) + 2 * padding[1] - weight.size(3) + 1}};
}

void run(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias, const std::vector<int64_t> &padding,
         double activation, float *y) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const int64_t o = weight.size(0), kh = weight.size(2), kw = weight.size(3);
  const Call call(edgekit_conv2d_scratch(threads(), n, c, h, w, o, kh, kw, padding[0], padding[1]));
  check_status(edgekit_conv2d(call.context(), numbers(x), n, c, h, w, numbers(weight), o, kh, kw,
                              bias.has_value() ? numbers(*bias) : nullptr, padding[0], padding[1],
                              static_cast<float>(activation), y));
}

Tensor conv2d(const Tensor &x, const Tensor &weight, std::optional<Tensor> bias, std::vector<int64_t> padding,
              double activation) {
  Sizes out = check_input(x, weight, bias, padding);
  // The operator says what is wrong with sizes that leave no output, or too large a one; torch cannot make those.
  for (int64_t &size : out.sizes) size = size < 0 || size >= INT32_MAX ? 0 : size;
  const Tensor y = Arguments("conv2d", "x", x).make(out.sizes, 4, aoti_torch_dtype_float32());
  run(x, weight, bias, padding, activation, changed(y));
  return y;
}

Tensor conv2d_out(const Tensor &x, const Tensor &weight, std::optional<Tensor> bias, std::vector<int64_t> padding,
                  double activation, Tensor y) {
  const Sizes out = check_input(x, weight, bias, padding);
  const int64_t *sizes = out.sizes;
  Arguments("conv2d", "x", x).numbers("out", y, {sizes[0], sizes[1], sizes[2], sizes[3]});
  run(x, weight, bias, padding, activation, changed(y));
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("conv2d", TORCH_BOX(&conv2d));
  m.impl("conv2d.out", TORCH_BOX(&conv2d_out));
}

}  // namespace edgekit::torch_binding
