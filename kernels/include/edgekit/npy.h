// Arrays from numpy's .npy files: numbers and booleans of any shape.
//
// Example. The input of a bundle for the task `tensors`:
//
//     edgekit::NpyArrayPointer array = edgekit::NpyArray::read("input.npy");
//     if (!array) return fail(edgekit::last_error());
//     const edgekit::Tensor input{array->data(), array->dtype(), array->rank(), array->shape()};
//
// Formats 1.0 and 2.0 are read, of either byte order and either order of dimensions. The header must promise no more
// than the file holds, before memory is taken. Objects are refused: nothing of a file is ever executed.
#ifndef EDGEKIT_NPY_H
#define EDGEKIT_NPY_H

#include "edgekit/session.h"

namespace edgekit {

class NpyArray;
struct NpyArrayDeleter {
  EDGEKIT_RUNTIME_API void operator()(NpyArray *array) const noexcept;
};
using NpyArrayPointer = std::unique_ptr<NpyArray, NpyArrayDeleter>;

class EDGEKIT_RUNTIME_API NpyArray {
 public:
  static NpyArrayPointer read(const char *path) noexcept;

  DType dtype() const noexcept;
  int rank() const noexcept;
  const int64_t *shape() const noexcept;
  // Contiguous, last dimension innermost, aligned to 64 bytes.
  void *data() noexcept;

  NpyArray(const NpyArray &) = delete;
  NpyArray &operator=(const NpyArray &) = delete;

 private:
  friend struct NpyArrayDeleter;
  struct Impl;
  explicit NpyArray(std::unique_ptr<Impl> impl) noexcept;
  ~NpyArray();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_NPY_H
