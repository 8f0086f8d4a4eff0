// One call of an operator by a program, whatever runtime makes it: tensors, threads, scratch, and their checks.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "edgekit/ops.h"
#include "failure.h"
#include "memory.h"

namespace edgekit::litert_binding {

// Element types, by TensorFlow Lite's numbers, which are LiteRT's too.
enum class Type : int32_t { float32 = 1, int32 = 2, int64 = 4, int8 = 9, float16 = 10 };

constexpr int kMostDimensions = 8;

struct Shape {
  int rank = 0;
  int64_t sizes[kMostDimensions] = {};

  Shape() = default;
  Shape(std::initializer_list<int64_t> wanted) {
    for (const int64_t size : wanted) sizes[rank++] = size;
  }
  Shape(const int64_t *wanted, size_t count) : rank(static_cast<int>(count)) {
    std::memcpy(sizes, wanted, count * sizeof *wanted);
  }
  int64_t operator[](int dimension) const { return sizes[dimension]; }
  bool operator==(const Shape &other) const {
    return rank == other.rank && std::memcmp(sizes, other.sizes, sizeof(int64_t) * static_cast<size_t>(rank)) == 0;
  }
  int64_t count() const {
    int64_t product = 1;
    for (int dimension = 0; dimension < rank; ++dimension) product *= sizes[dimension];
    return product;
  }
  std::string text() const;  // "(2, 3)"
};

struct Tensor {
  Type type = Type::float32;
  Shape shape;
  void *data = nullptr;
};

class Call {
 public:
  // `threads` brings no scratch.
  Call(const char *name, const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs,
       const edgekit_context &threads, Scratch &scratch)
      : name(name), inputs(inputs), outputs(outputs), threads_(threads), scratch_(scratch) {}

  const char *const name;
  const std::vector<Tensor> &inputs, &outputs;

  int threads() const { return threads_.threads; }
  // What the operator is given: as many bytes of scratch as it asked for.
  edgekit_context context(size_t scratch_size);

  // Inputs of a dtype and shape; each throws where the tensor is another.
  void check(const char *argument, const Tensor &tensor, Type type, const Shape &shape) const;
  void check_rank(const char *argument, const Tensor &tensor, int rank) const;
  const float *numbers(size_t input, const char *argument, const Shape &shape) const;
  float *output(size_t output, const char *argument, const Shape &shape) const;
  // The same memory as the input if the runtime gave that; otherwise a copy of the input is in the output.
  void *state(size_t input, size_t output, const char *argument, Type type, const Shape &shape) const;
  // A tensor without dimensions, int32 or int64.
  int64_t place(size_t input, const char *argument) const;
  // Numbers that the runtime has as int32 or int64.
  const int64_t *indices(size_t input, const char *argument, const Shape &shape, Buffer &room) const;
  // Where an operator writes indices, and how they come to an output that is int32.
  int64_t *indices_out(size_t output, const char *argument, const Shape &shape) const;
  void finish_indices(size_t output, const int64_t *indices) const;

  Scratch &scratch() const { return scratch_; }
  void check_status(edgekit_status status) const;

 private:
  const edgekit_context &threads_;
  Scratch &scratch_;
};

}  // namespace edgekit::litert_binding
