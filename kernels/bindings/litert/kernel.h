// An operator with its attributes, as one or more nodes of a program call it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attributes.h"
#include "call.h"

namespace edgekit::litert_binding {

class Kernel {
 public:
  explicit Kernel(const char *name) : name(name) {}
  virtual ~Kernel() = default;

  const char *const name;

  // The outputs' shapes by those of the inputs. Both throw Failure.
  virtual std::vector<Shape> shapes(const std::vector<Shape> &inputs) const = 0;
  virtual void run(Call &call) const = 0;
};

// The kernel of a custom operator's name; throws Failure if this library has no such operator.
std::unique_ptr<Kernel> make_kernel(const std::string &custom_code);

// Where the shapes make no sense: an input's rank, or how many there are.
void check_count(const char *operation, size_t count, size_t least, size_t most);
void check_rank(const char *operation, const char *argument, const Shape &shape, int rank);

// One a file.
std::unique_ptr<Kernel> make_sparse_topk(const Attributes &);
std::unique_ptr<Kernel> make_kv_append(const Attributes &);
std::unique_ptr<Kernel> make_sparse_topk_attention(const Attributes &);
std::unique_ptr<Kernel> make_sea_estimate(const Attributes &);
std::unique_ptr<Kernel> make_csr_matmul(const Attributes &);
std::unique_ptr<Kernel> make_conv2d(const Attributes &);

}  // namespace edgekit::litert_binding
