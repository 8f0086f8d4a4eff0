// torch.ops.edgekit.csr_matmul on CPUs and GPUs.

#include "call.h"
#include "gpu_call.h"

namespace edgekit::torch_binding {
namespace {

Arguments check_input(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x) {
  const Arguments check("csr_matmul", "x", x);
  check.rank("crow", crow, 1);
  check.rank("col", col, 1);
  check.tensor("crow", crow, ScalarType::Long, {crow.size(0)});
  check.tensor("col", col, ScalarType::Long, {col.size(0)});
  check.numbers("val", val, {col.size(0)});
  check.layout("x", x);
  if (x.scalar_type() != ScalarType::Float)
    check.refuse("x", "has dtype " + std::to_string(static_cast<int>(x.scalar_type())) +
                          " (torch's ScalarType): give float32.");
  if (x.dim() < 2 || x.dim() > 8) check.refuse("x", "has shape " + shape_of(x) + ": give 2 to 8 dimensions.");
  if (crow.size(0) < 1) check.refuse("crow", "has shape (0): give a number a row of the matrix and one more.");
  return check;
}

void run(const Arguments &check, const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x, Tensor &y) {
  int64_t batch = 1;
  for (int64_t dimension = 0; dimension < x.dim() - 2; ++dimension) batch *= x.size(dimension);
  const int64_t rows = crow.size(0) - 1, columns = x.size(-2), entries = col.size(0), n = x.size(-1);
  const auto places = [](const Tensor &tensor) { return static_cast<const int64_t *>(tensor.const_data_ptr()); };
  if (check.on_gpu()) {
    const GpuCall call(check);
    if (!call.launched(edgekit_launch_csr_matmul(call.stream(), rows, columns, entries, places(crow), places(col),
                                                 numbers(val), numbers(x), batch, n, changed(y))))
      torch::stable::copy_(y, reference<1>("csr_matmul", crow, col, val, x)[0]);
    return;
  }
  const Call call(0);
  check_status(edgekit_csr_matmul(call.context(), rows, columns, entries, places(crow), places(col), numbers(val),
                                  numbers(x), batch, n, changed(y)));
}

Tensor csr_matmul(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x) {
  const Arguments check = check_input(crow, col, val, x);
  int64_t sizes[8];
  const int64_t rank = x.dim();
  for (int64_t dimension = 0; dimension < rank; ++dimension) sizes[dimension] = x.size(dimension);
  sizes[rank - 2] = crow.size(0) - 1;
  Tensor y = check.make(sizes, rank, aoti_torch_dtype_float32());
  run(check, crow, col, val, x, y);
  return y;
}

Tensor csr_matmul_out(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x, Tensor y) {
  const Arguments check = check_input(crow, col, val, x);
  check.layout("out", y);
  bool fits = y.scalar_type() == ScalarType::Float && y.dim() == x.dim();
  for (int64_t dimension = 0; fits && dimension < x.dim(); ++dimension)
    fits = y.size(dimension) == (dimension == x.dim() - 2 ? crow.size(0) - 1 : x.size(dimension));
  if (!fits)
    check.refuse("out", "has shape " + shape_of(y) + ": it must be float32 and have x's with the matrix's rows.");
  run(check, crow, col, val, x, y);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("csr_matmul", TORCH_BOX(&csr_matmul));
  m.impl("csr_matmul.out", TORCH_BOX(&csr_matmul_out));
}

STABLE_TORCH_LIBRARY_IMPL(edgekit, CUDA, m) {
  m.impl("csr_matmul", TORCH_BOX(&csr_matmul));
  m.impl("csr_matmul.out", TORCH_BOX(&csr_matmul_out));
}

}  // namespace edgekit::torch_binding
