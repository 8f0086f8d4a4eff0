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
  if (x.dim() < 2 || x.scalar_type() != ScalarType::Float)
    return fail(runtime, "csr_matmul: x is not float32 of 2 or more dimensions.");
  const int64_t rows = crow.numel() - 1, columns = x.size(x.dim() - 2), n = x.size(x.dim() - 1);
  if (rows < 0) return fail(runtime, "csr_matmul: crow is empty.");
  if (!check_tensor(runtime, kName, "crow", crow, ScalarType::Long, {rows + 1}) ||
      !check_tensor(runtime, kName, "col", col, ScalarType::Long, {col.numel()}) ||
      !check_tensor(runtime, kName, "val", val, ScalarType::Float, {col.numel()}))
    return;
  constexpr ssize_t kMost = 16;
  if (x.dim() > kMost) return fail(runtime, "csr_matmul: x has more than 16 dimensions.");
  executorch::aten::SizesType sizes[kMost];
  for (ssize_t dimension = 0; dimension < x.dim(); ++dimension)
    sizes[dimension] = static_cast<executorch::aten::SizesType>(dimension == x.dim() - 2 ? rows : x.size(dimension));
  if (!resize(runtime, y, sizes, static_cast<size_t>(x.dim()))) return;
  int64_t batch = 1;
  for (ssize_t dimension = 0; dimension < x.dim() - 2; ++dimension) batch *= x.size(dimension);
  if (y.scalar_type() != ScalarType::Float || y.numel() != batch * rows * n)
    return fail(runtime, "csr_matmul: out is not float32 with x's shape and the matrix's rows.");
  edgekit_context context;
  if (!make_context(runtime, 0, context)) return;
  check_status(runtime, edgekit_csr_matmul(&context, rows, columns, col.numel(), crow.const_data_ptr<int64_t>(),
                                           col.const_data_ptr<int64_t>(), numbers(val), numbers(x), batch, n,
                                           y.mutable_data_ptr<float>()));
}

const executorch::runtime::Kernel kKernels[] = {
    executorch::runtime::Kernel("edgekit::csr_matmul.out", csr_matmul_out),
};
[[maybe_unused]] const auto kRegistered = executorch::runtime::register_kernels(Span(kKernels));

}  // namespace
}  // namespace edgekit::executorch_binding
