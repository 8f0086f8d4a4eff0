// What every torch binding needs: a context on torch's thread pool, scratch, checks. No arithmetic here.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>

#include "edgekit/ops.h"

namespace edgekit::torch_binding {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Raises RuntimeError in Python.
[[noreturn]] inline void raise(const std::string &sentence) { throw std::runtime_error(sentence); }

// A CPU tensor whose elements lie as its shape says.
inline void check_layout(const char *operation, const char *argument, const Tensor &tensor) {
  const std::string where = std::string(operation) + ": " + argument;
  if (!tensor.is_cpu()) raise(where + " is not on the CPU: move it there.");
  if (!tensor.is_contiguous()) raise(where + " is not contiguous: call .contiguous() on it.");
}

inline std::string shape_of(const Tensor &tensor) {
  std::string shape = "(";
  for (int64_t dimension = 0; dimension < tensor.dim(); ++dimension)
    shape += (dimension > 0 ? ", " : "") + std::to_string(tensor.size(dimension));
  return shape + ")";
}

// A contiguous CPU tensor of this dtype and shape.
inline void check_tensor(const char *operation, const char *argument, const Tensor &tensor, ScalarType dtype,
                         const int64_t *shape, size_t rank) {
  check_layout(operation, argument, tensor);
  const std::string where = std::string(operation) + ": " + argument;
  if (tensor.scalar_type() != dtype)
    raise(where + " has dtype " + std::to_string(static_cast<int>(tensor.scalar_type())) + ", it must have " +
          std::to_string(static_cast<int>(dtype)) + " (torch's ScalarType).");
  bool fits = tensor.dim() == static_cast<int64_t>(rank);
  std::string wanted;
  for (size_t dimension = 0; dimension < rank; ++dimension) {
    fits = fits && tensor.size(static_cast<int64_t>(dimension)) == shape[dimension];
    wanted += (dimension > 0 ? ", " : "") + std::to_string(shape[dimension]);
  }
  if (!fits) raise(where + " has shape " + shape_of(tensor) + ", it must have (" + wanted + ").");
}

inline void check_tensor(const char *operation, const char *argument, const Tensor &tensor, ScalarType dtype,
                         std::initializer_list<int64_t> shape) {
  check_tensor(operation, argument, tensor, dtype, shape.begin(), shape.size());
}

inline void check_rank(const char *operation, const char *argument, const Tensor &tensor, int64_t rank) {
  if (tensor.dim() != rank)
    raise(std::string(operation) + ": " + argument + " has shape " + shape_of(tensor) + ": give " +
          std::to_string(rank) + " dimensions.");
}

inline void check_status(edgekit_status status) {
  if (status != EDGEKIT_OK) raise(edgekit_last_error());
}

inline int threads() { return static_cast<int>(torch::stable::get_num_threads()); }

inline void run_tasks(void *, int tasks, void (*task)(void *, int), void *argument) {
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) task(argument, static_cast<int>(index));
  });
}

// A context with scratch of a size. Small scratch is a buffer that each thread keeps; large scratch is freed again.
class Call {
 public:
  explicit Call(size_t scratch_size) {
    constexpr size_t kKept = 1 << 20, kAlignment = 64;
    alignas(kAlignment) static thread_local char kept[kKept];
    void *scratch = kept;
    if (scratch_size > kKept) {
      scratch = std::aligned_alloc(kAlignment, (scratch_size + kAlignment - 1) / kAlignment * kAlignment);
      if (scratch == nullptr) throw std::bad_alloc();
      large_.reset(scratch);
    }
    context_ = {scratch, scratch_size, threads(), run_tasks, nullptr};
  }

  const edgekit_context *context() const { return &context_; }

 private:
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> large_;
  edgekit_context context_;
};

// A new contiguous CPU tensor of up to 8 dimensions.
inline Tensor make(const int64_t *sizes, int64_t rank, int32_t dtype) {
  int64_t strides[8];
  int64_t stride = 1;
  for (int64_t dimension = rank; dimension-- > 0;) {
    strides[dimension] = stride;
    stride *= sizes[dimension];
  }
  AtenTensorHandle handle;
  if (aoti_torch_empty_strided(rank, sizes, strides, dtype, aoti_torch_device_type_cpu(), 0, &handle) != 0)
    raise("edgekit: torch could not make a tensor.");
  return Tensor(handle);
}

}  // namespace edgekit::torch_binding
