// csr_matmul: arguments, and rows to threads.

#include "csr_matmul.h"

#include <algorithm>
#include <cinttypes>
#include <utility>

#include "../common/error.h"
#include "../common/work.h"
#include "cuda.h"
#include "cuda/call.h"

namespace edgekit::csr_matmul {
namespace {

// Products that are worth a thread's wakening.
constexpr int64_t kGrain = 32768;

edgekit_status check_matrix(int64_t rows, int64_t columns, int64_t entries, const int64_t *crow, const int64_t *col) {
  EDGEKIT_REQUIRE(crow[0] == 0, "csr_matmul: crow[0] is %" PRId64 ": it must be 0.", crow[0]);
  for (int64_t row = 0; row < rows; ++row)
    EDGEKIT_REQUIRE(crow[row] <= crow[row + 1],
                    "csr_matmul: crow[%" PRId64 "] is %" PRId64 ", less than the one before, %" PRId64 ".", row + 1,
                    crow[row + 1], crow[row]);
  EDGEKIT_REQUIRE(crow[rows] == entries,
                  "csr_matmul: crow[%" PRId64 "], the last, is %" PRId64 ", but there are %" PRId64 " entries.", rows,
                  crow[rows], entries);
  // One bit for all of them, since a look at each would take as long as the product: the sign of what must not be.
  uint64_t beyond = 0;
  for (int64_t entry = 0; entry < entries; ++entry) {
    const uint64_t column = static_cast<uint64_t>(col[entry]);
    beyond |= column | (static_cast<uint64_t>(columns - 1) - column);
  }
  for (int64_t entry = 0; beyond >> 63 != 0 && entry < entries; ++entry)
    EDGEKIT_REQUIRE(col[entry] >= 0 && col[entry] < columns,
                    "csr_matmul: col[%" PRId64 "] is %" PRId64 ", but x has %" PRId64 " rows.", entry, col[entry],
                    columns);
  return EDGEKIT_OK;
}

// On the GPU, if it goes there.
std::optional<edgekit_status> run_on_gpu(int64_t rows, int64_t columns, int64_t entries, const int64_t *crow,
                                         const int64_t *col, const float *val, const float *x, int64_t batch,
                                         int64_t n, float *y) {
  cuda::Call call(cuda::Operator::csr_matmul, entries * batch * n);
  crow = call.in(crow, rows + 1);
  col = call.in(col, entries);
  val = call.in(val, entries);
  x = call.in(x, batch * columns * n);
  y = call.out(y, batch * rows * n);
  return call.finish(call.ready() &&
                     enqueue(call.queue(), rows, columns, entries, crow, col, val, x, batch, n, y));
}

}  // namespace
}  // namespace edgekit::csr_matmul

edgekit_status edgekit_csr_matmul(const edgekit_context *context, int64_t rows, int64_t columns, int64_t entries,
                                  const int64_t *crow, const int64_t *col, const float *val, const float *x,
                                  int64_t batch, int64_t n, float *y) {
  using namespace edgekit::csr_matmul;
  EDGEKIT_REQUIRE(rows >= 0 && columns >= 0 && entries >= 0 && batch >= 0 && n >= 0,
                  "csr_matmul: a size is negative: rows %" PRId64 ", columns %" PRId64 ", entries %" PRId64
                  ", batch %" PRId64 ", n %" PRId64 ".",
                  rows, columns, entries, batch, n);
  for (const auto &[numbers, count] : {std::pair{crow, rows + 1}, std::pair{col, entries}})
    if (!edgekit::cuda::read_by_cpu("csr_matmul", numbers, count * sizeof *numbers))
      return EDGEKIT_GPU_FAILED;
  const edgekit_status status = check_matrix(rows, columns, entries, crow, col);
  if (status != EDGEKIT_OK) return status;
  const Kernels *kernels = edgekit::find_kernels(kTable);
  if (kernels == nullptr) return EDGEKIT_UNSUPPORTED_ISA;
  if (rows == 0) return EDGEKIT_OK;
  if (const auto done = run_on_gpu(rows, columns, entries, crow, col, val, x, batch, n, y)) return *done;
  const int64_t products = std::max<int64_t>(1, (entries / rows + 1) * n);
  edgekit::share(*context, batch * rows, 1 + kGrain / products, [&](int, int64_t begin, int64_t end) {
    while (begin < end) {  // what lies in one matrix of the batch at a time
      const int64_t row = begin % rows, count = std::min(end - begin, rows - row);
      kernels->rows({crow + row, col, val}, count, x + begin / rows * columns * n, n, y + begin * n);
      begin += count;
    }
  });
  return EDGEKIT_OK;
}
