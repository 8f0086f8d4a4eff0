// edgekit.conv2d?activation=&padding=: (x, weight[, bias]) -> (y)

#include "kernel.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "conv2d";
enum Input { kX, kWeight, kBias };

class Conv2d final : public Kernel {
 public:
  explicit Conv2d(const Attributes &attributes)
      : Kernel(kName), activation_(attributes.number("activation")), padding_(attributes.integers("padding")) {
    if (padding_.size() != 2)
      throw failure("%s: padding has %zu numbers: give 2, vertical and horizontal.", kName, padding_.size());
  }

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), kWeight + 1, kBias + 1);
    const Shape &x = inputs[kX], &weight = inputs[kWeight];
    check_rank(kName, "x", x, 4);
    check_rank(kName, "weight", weight, 4);
    return {{x[0], weight[0], x[2] + 2 * padding_[0] - weight[2] + 1, x[3] + 2 * padding_[1] - weight[3] + 1}};
  }

  void run(Call &call) const override {
    const Shape x = call.inputs[kX].shape, weight = call.inputs[kWeight].shape, y = shapes({x, weight})[0];
    const int64_t o = weight[0], kh = weight[2], kw = weight[3];
    const float *bias = call.inputs.size() > kBias ? call.numbers(kBias, "bias", {o}) : nullptr;
    const edgekit_context context = call.context(edgekit_conv2d_scratch(call.threads(), x[0], x[1], x[2], x[3], o, kh,
                                                                        kw, padding_[0], padding_[1]));
    call.check_status(edgekit_conv2d(&context, call.numbers(kX, "x", x), x[0], x[1], x[2], x[3],
                                     call.numbers(kWeight, "weight", {o, x[1], kh, kw}), o, kh, kw, bias, padding_[0],
                                     padding_[1], activation_, call.output(0, "y", y)));
  }

 private:
  const float activation_;
  const std::vector<int64_t> padding_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d(const Attributes &attributes) { return std::make_unique<Conv2d>(attributes); }

}  // namespace edgekit::litert_binding
