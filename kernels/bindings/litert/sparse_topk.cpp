// edgekit.sparse_topk?k=&sorted=: (x) -> (values, indices)

#include "kernel.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "sparse_topk";

class SparseTopk final : public Kernel {
 public:
  explicit SparseTopk(const Attributes &attributes)
      : Kernel(kName), k_(attributes.integer("k")), sorted_(attributes.boolean("sorted")) {}

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), 1, 1);
    if (inputs[0].rank < 1 || k_ < 1 || k_ > inputs[0][inputs[0].rank - 1])
      throw failure("%s: k is %lld, x has shape %s: give 1 to x's last dimension.", kName, static_cast<long long>(k_),
                    inputs[0].text().c_str());
    Shape shape = inputs[0];
    shape.sizes[shape.rank - 1] = k_;
    return {shape, shape};
  }

  void run(Call &call) const override {
    const Tensor &x = call.inputs[0], &values = call.outputs[0];
    const Shape shape = shapes({x.shape})[0];
    if (x.type != Type::float32 && x.type != Type::float16)
      throw failure("%s: x is neither float32 nor float16.", kName);
    call.check("values", values, x.type, shape);
    int64_t *indices = call.indices_out(1, "indices", shape);
    const int64_t n = x.shape[x.shape.rank - 1];
    const edgekit_context context = call.context(edgekit_sparse_topk_scratch(call.threads(), n, k_));
    call.check_status(edgekit_sparse_topk(&context, x.type == Type::float32 ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16, x.data,
                                          x.shape.count() / n, n, k_, sorted_, values.data, indices));
    call.finish_indices(1, indices);
  }

 private:
  const int64_t k_;
  const bool sorted_;
};

}  // namespace

std::unique_ptr<Kernel> make_sparse_topk(const Attributes &attributes) {
  return std::make_unique<SparseTopk>(attributes);
}

}  // namespace edgekit::litert_binding
