// torch.ops.edgekit.csr_matmul on the CPU.

#include "call.h"

namespace edgekit::torch_binding {
namespace {

constexpr char kName[] = "csr_matmul";

void check_input(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x) {
  check_rank(kName, "crow", crow, 1);
  check_rank(kName, "col", col, 1);
  check_tensor(kName, "crow", crow, ScalarType::Long, {crow.size(0)});
  check_tensor(kName, "col", col, ScalarType::Long, {col.size(0)});
  check_tensor(kName, "val", val, ScalarType::Float, {col.size(0)});
  check_layout(kName, "x", x);
  if (x.scalar_type() != ScalarType::Float)
    raise("csr_matmul: x has dtype " + std::to_string(static_cast<int>(x.scalar_type())) +
          " (torch's ScalarType): give float32.");
  if (x.dim() < 2 || x.dim() > 8) raise("csr_matmul: x has shape " + shape_of(x) + ": give 2 to 8 dimensions.");
  if (crow.size(0) < 1) raise("csr_matmul: crow has shape (0): give a number a row of the matrix and one more.");
}

void run(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x, const Tensor &y) {
  int64_t batch = 1;
  for (int64_t dimension = 0; dimension < x.dim() - 2; ++dimension) batch *= x.size(dimension);
  const Call call(0);
  check_status(edgekit_csr_matmul(call.context(), crow.size(0) - 1, x.size(-2), col.size(0),
                                  static_cast<const int64_t *>(crow.const_data_ptr()),
                                  static_cast<const int64_t *>(col.const_data_ptr()),
                                  static_cast<const float *>(val.const_data_ptr()),
                                  static_cast<const float *>(x.const_data_ptr()), batch, x.size(-1),
                                  static_cast<float *>(y.mutable_data_ptr())));
}

Tensor csr_matmul(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x) {
  check_input(crow, col, val, x);
  int64_t sizes[8];
  const int64_t rank = x.dim();
  for (int64_t dimension = 0; dimension < rank; ++dimension) sizes[dimension] = x.size(dimension);
  sizes[rank - 2] = crow.size(0) - 1;
  const Tensor y = make(sizes, rank, aoti_torch_dtype_float32());
  run(crow, col, val, x, y);
  return y;
}

Tensor csr_matmul_out(const Tensor &crow, const Tensor &col, const Tensor &val, const Tensor &x, Tensor y) {
  check_input(crow, col, val, x);
  check_layout(kName, "out", y);
  bool fits = y.scalar_type() == ScalarType::Float && y.dim() == x.dim();
  for (int64_t dimension = 0; fits && dimension < x.dim(); ++dimension)
    fits = y.size(dimension) == (dimension == x.dim() - 2 ? crow.size(0) - 1 : x.size(dimension));
  if (!fits) raise("csr_matmul: out has shape " + shape_of(y) + ": it must be float32 and have x's with the matrix's rows.");
  run(crow, col, val, x, y);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(edgekit, CPU, m) {
  m.impl("csr_matmul", TORCH_BOX(&csr_matmul));
  m.impl("csr_matmul.out", TORCH_BOX(&csr_matmul_out));
}

}  // namespace edgekit::torch_binding
