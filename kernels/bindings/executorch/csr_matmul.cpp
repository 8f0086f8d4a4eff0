// edgekit::csr_matmul.out for ExecuTorch.

#include "call.h"

namespace edgekit::executorch_binding {
namespace {

constexpr char kName[] = "csr_matmul";

// (crow, col, val, x, out)
void csr_matmul_out(KernelRuntimeContext &runtime, Stack stack) {
  const Traced traced(runtime, "native_call_edgekit::csr_matmul.out");
  const Tensor &crow = stack[0]->toTensor(), &col = stack[1]->toTensor(), &val = stack[2]->toTensor();
  const Tensor &x = stack[3]->toTensor(), &y = stack[4]->toTensor();
  const size_t rank = static_cast<size_t>(x.dim());
  SizesType sizes[kMostDimensions];
  if (rank < 2 || rank > kMostDimensions)
    return fail(runtime, "csr_matmul: x has %zu dimensions: give 2 to %zu.", rank, kMostDimensions);
  const int64_t rows = crow.numel() - 1, columns = x.sizes()[rank - 2], n = x.sizes()[rank - 1];
  if (rows < 0) return fail(runtime, "csr_matmul: crow has shape (0): give a number a row of the matrix and one more.");
  if (!check_tensor(runtime, kName, "crow", crow, ScalarType::Long, {rows + 1}) ||
      !check_tensor(runtime, kName, "col", col, ScalarType::Long, {col.numel()}) ||
      !check_tensor(runtime, kName, "val", val, ScalarType::Float, {col.numel()}) ||
      !check_dtype(runtime, kName, "x", x, ScalarType::Float))
    return;
  int64_t batch = 1;
  for (size_t dimension = 0; dimension < rank; ++dimension) {
    sizes[dimension] = x.sizes()[dimension];
    if (dimension + 2 < rank) batch *= sizes[dimension];
  }
  sizes[rank - 2] = static_cast<SizesType>(rows);
  if (!resize(runtime, kName, "out", y, ScalarType::Float, {sizes, rank})) return;
  edgekit_context context;
  if (!make_context(runtime, 0, context)) return;
  check_status(runtime, edgekit_csr_matmul(&context, rows, columns, col.numel(), crow.const_data_ptr<int64_t>(),
                                           col.const_data_ptr<int64_t>(), numbers(val), numbers(x), batch, n,
                                           y.mutable_data_ptr<float>()));
}

[[maybe_unused]] const auto kRegistered = register_operator("edgekit::csr_matmul.out", csr_matmul_out);

}  // namespace
}  // namespace edgekit::executorch_binding
