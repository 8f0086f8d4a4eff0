#include "kernel.h"

namespace edgekit::litert_binding {
namespace {

struct Operation {
  const char *name;
  std::unique_ptr<Kernel> (*make)(const Attributes &);
};
constexpr Operation kOperations[] = {
    {"sparse_topk", make_sparse_topk},
    {"kv_append", make_kv_append},
    {"sparse_topk_attention", make_sparse_topk_attention},
    {"sea_estimate", make_sea_estimate},
    {"csr_matmul", make_csr_matmul},
    {"conv2d", make_conv2d},
};

}  // namespace

std::unique_ptr<Kernel> make_kernel(const std::string &custom_code) {
  if (edgekit_ops_version() != EDGEKIT_OPS_VERSION)
    throw failure("libedgekit_ops.so has version %d, libedgekit_litert.so needs %d: take both from one edgekit.",
                  edgekit_ops_version(), EDGEKIT_OPS_VERSION);
  const Attributes attributes(custom_code);
  for (const Operation &operation : kOperations)
    if (attributes.operation() == operation.name) return operation.make(attributes);
  throw failure("this edgekit has no operator %s: take the libedgekit_litert.so of the edgekit that made the program.",
                custom_code.c_str());
}

void check_count(const char *operation, size_t count, size_t least, size_t most) {
  if (count < least || count > most)
    throw failure("%s has %zu inputs in this program, it takes %zu to %zu: export the program again.", operation, count,
                  least, most);
}

void check_rank(const char *operation, const char *argument, const Shape &shape, int rank) {
  if (shape.rank != rank)
    throw failure("%s: %s has shape %s: give %d dimensions.", operation, argument, shape.text().c_str(), rank);
}

}  // namespace edgekit::litert_binding
