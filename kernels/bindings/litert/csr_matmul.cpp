// edgekit.csr_matmul: (crow, col, val, x) -> (y)

#include "kernel.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "csr_matmul";
enum Input { kCrow, kCol, kVal, kX };

class CsrMatmul final : public Kernel {
 public:
  CsrMatmul() : Kernel(kName) {}

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), kX + 1, kX + 1);
    check_rank(kName, "crow", inputs[kCrow], 1);
    check_rank(kName, "col", inputs[kCol], 1);
    if (inputs[kX].rank < 2 || inputs[kCrow][0] < 1)
      throw failure("%s: x has shape %s, crow %s: give 2 dimensions or more, and a number a row and one more.", kName,
                    inputs[kX].text().c_str(), inputs[kCrow].text().c_str());
    Shape shape = inputs[kX];
    shape.sizes[shape.rank - 2] = inputs[kCrow][0] - 1;
    return {shape};
  }

  void run(Call &call) const override {
    const Shape crow = call.inputs[kCrow].shape, col = call.inputs[kCol].shape, x = call.inputs[kX].shape;
    const Shape y = shapes({crow, col, col, x})[0];
    const int64_t columns = x[x.rank - 2], n = x[x.rank - 1];
    int64_t batch = 1;
    for (int dimension = 0; dimension < x.rank - 2; ++dimension) batch *= x[dimension];
    const edgekit_context context = call.context(0);
    call.check_status(edgekit_csr_matmul(&context, crow[0] - 1, columns, col[0],
                                         call.indices(kCrow, "crow", crow, call.scratch().indices),
                                         call.indices(kCol, "col", col, call.scratch().more_indices),
                                         call.numbers(kVal, "val", col), call.numbers(kX, "x", x), batch, n,
                                         call.output(0, "y", y)));
  }
};

}  // namespace

std::unique_ptr<Kernel> make_csr_matmul(const Attributes &) { return std::make_unique<CsrMatmul>(); }

}  // namespace edgekit::litert_binding
