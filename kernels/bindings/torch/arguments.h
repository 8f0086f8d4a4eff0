// What a torch binding is given: checks of its tensors, and new ones beside them. No arithmetic here.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "edgekit/ops.h"

namespace edgekit::torch_binding {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Raises RuntimeError in Python.
[[noreturn]] inline void raise(const std::string &sentence) { throw std::runtime_error(sentence); }

inline std::string shape_of(const Tensor &tensor) {
  std::string shape = "(";
  for (int64_t dimension = 0; dimension < tensor.dim(); ++dimension)
    shape += (dimension > 0 ? ", " : "") + std::to_string(tensor.size(dimension));
  return shape + ")";
}

inline std::string device_of(const Tensor &tensor) {
  if (tensor.is_cpu()) return "the CPU";
  return tensor.is_cuda() ? "cuda:" + std::to_string(tensor.get_device_index()) : "another device";
}

// The arguments of one call. All tensors must be where the first one is: on the CPU, or on one GPU.
class Arguments {
 public:
  Arguments(const char *operation, const char *name, const Tensor &first)
      : operation_(operation), first_name_(name), first_(first) {}

  bool on_gpu() const { return first_.is_cuda(); }
  int device() const { return first_.get_device_index(); }
  const char *operation() const { return operation_; }

  [[noreturn]] void refuse(const char *name, const std::string &what) const {
    raise(std::string(operation_) + ": " + name + " " + what);
  }

  // A tensor on the device whose elements lie as its shape says.
  void layout(const char *name, const Tensor &tensor) const {
    const bool beside = on_gpu() ? tensor.is_cuda() && tensor.get_device_index() == device() : tensor.is_cpu();
    if (!beside)
      refuse(name, "is on " + device_of(tensor) + ", " + first_name_ + " on " + device_of(first_) +
                       ": move them to one device.");
    if (!tensor.is_contiguous()) refuse(name, "is not contiguous: call .contiguous() on it.");
  }

  void rank(const char *name, const Tensor &tensor, int64_t rank) const {
    if (tensor.dim() != rank)
      refuse(name, "has shape " + shape_of(tensor) + ": give " + std::to_string(rank) + " dimensions.");
  }

  // A contiguous tensor of this dtype and shape.
  void tensor(const char *name, const Tensor &tensor, ScalarType dtype, const int64_t *shape, size_t rank) const {
    layout(name, tensor);
    if (tensor.scalar_type() != dtype)
      refuse(name, "has dtype " + std::to_string(static_cast<int>(tensor.scalar_type())) + ", it must have " +
                       std::to_string(static_cast<int>(dtype)) + " (torch's ScalarType).");
    bool fits = tensor.dim() == static_cast<int64_t>(rank);
    std::string wanted;
    for (size_t dimension = 0; dimension < rank; ++dimension) {
      fits = fits && tensor.size(static_cast<int64_t>(dimension)) == shape[dimension];
      wanted += (dimension > 0 ? ", " : "") + std::to_string(shape[dimension]);
    }
    if (!fits) refuse(name, "has shape " + shape_of(tensor) + ", it must have (" + wanted + ").");
  }
  void tensor(const char *name, const Tensor &tensor, ScalarType dtype, std::initializer_list<int64_t> shape) const {
    this->tensor(name, tensor, dtype, shape.begin(), shape.size());
  }
  void numbers(const char *name, const Tensor &tensor, std::initializer_list<int64_t> shape) const {
    this->tensor(name, tensor, ScalarType::Float, shape);
  }

  // A new contiguous tensor on the device, of up to 8 dimensions.
  Tensor make(const int64_t *sizes, int64_t rank, int32_t dtype) const {
    int64_t strides[8];
    int64_t stride = 1;
    for (int64_t dimension = rank; dimension-- > 0;) {
      strides[dimension] = stride;
      stride *= sizes[dimension];
    }
    AtenTensorHandle handle;
    const int32_t type = on_gpu() ? aoti_torch_device_type_cuda() : aoti_torch_device_type_cpu();
    if (aoti_torch_empty_strided(rank, sizes, strides, dtype, type, on_gpu() ? device() : 0, &handle) != 0)
      raise(std::string(operation_) + ": " + torch_exception_get_what_without_backtrace());
    return Tensor(handle);
  }
  Tensor make_numbers(std::initializer_list<int64_t> shape) const {
    return make(shape.begin(), static_cast<int64_t>(shape.size()), aoti_torch_dtype_float32());
  }

 private:
  const char *operation_, *first_name_;
  const Tensor &first_;
};

inline const float *numbers(const Tensor &tensor) { return static_cast<const float *>(tensor.const_data_ptr()); }
inline float *changed(const Tensor &tensor) { return static_cast<float *>(tensor.mutable_data_ptr()); }

}  // namespace edgekit::torch_binding
