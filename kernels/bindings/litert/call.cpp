#include "call.h"

#include <climits>

namespace edgekit::litert_binding {
namespace {

const char *name_of(Type type) {
  switch (type) {
    case Type::float32: return "float32";
    case Type::int32: return "int32";
    case Type::int64: return "int64";
    case Type::int8: return "int8";
    case Type::float16: return "float16";
  }
  return "a type that it does not know";
}

size_t size_of(Type type) {
  switch (type) {
    case Type::int64: return 8;
    case Type::int8: return 1;
    case Type::float16: return 2;
    default: return 4;
  }
}

}  // namespace

std::string Shape::text() const {
  std::string text = "(";
  for (int dimension = 0; dimension < rank; ++dimension)
    text += (dimension > 0 ? ", " : "") + std::to_string(sizes[dimension]);
  return text + ")";
}

edgekit_context Call::context(size_t scratch_size) {
  edgekit_context context = threads_;
  context.scratch = scratch_size > 0 ? scratch_.work.take(scratch_size) : nullptr;
  context.scratch_size = scratch_size;
  return context;
}

void Call::check(const char *argument, const Tensor &tensor, Type type, const Shape &shape) const {
  if (tensor.type != type)
    throw failure("%s: %s is %s, it must be %s.", name, argument, name_of(tensor.type), name_of(type));
  if (!(tensor.shape == shape))
    throw failure("%s: %s has shape %s, it must have %s.", name, argument, tensor.shape.text().c_str(),
                  shape.text().c_str());
}

void Call::check_rank(const char *argument, const Tensor &tensor, int rank) const {
  if (tensor.shape.rank != rank)
    throw failure("%s: %s has shape %s: give %d dimensions.", name, argument, tensor.shape.text().c_str(), rank);
}

const float *Call::numbers(size_t input, const char *argument, const Shape &shape) const {
  check(argument, inputs[input], Type::float32, shape);
  return static_cast<const float *>(inputs[input].data);
}

float *Call::output(size_t output, const char *argument, const Shape &shape) const {
  check(argument, outputs[output], Type::float32, shape);
  return static_cast<float *>(outputs[output].data);
}

void *Call::state(size_t input, size_t output, const char *argument, Type type, const Shape &shape) const {
  check(argument, inputs[input], type, shape);
  check(argument, outputs[output], type, shape);
  const Tensor &from = inputs[input], &to = outputs[output];
  if (from.data != to.data) std::memcpy(to.data, from.data, static_cast<size_t>(shape.count()) * size_of(type));
  return to.data;
}

int64_t Call::place(size_t input, const char *argument) const {
  const Tensor &tensor = inputs[input];
  if (tensor.shape.count() != 1 || (tensor.type != Type::int32 && tensor.type != Type::int64))
    throw failure("%s: %s is %s with shape %s: give one int32 or int64.", name, argument, name_of(tensor.type),
                  tensor.shape.text().c_str());
  return tensor.type == Type::int32 ? *static_cast<const int32_t *>(tensor.data)
                                    : *static_cast<const int64_t *>(tensor.data);
}

const int64_t *Call::indices(size_t input, const char *argument, const Shape &shape, Buffer &room) const {
  const Tensor &tensor = inputs[input];
  if (tensor.type != Type::int32) {
    check(argument, tensor, Type::int64, shape);
    return static_cast<const int64_t *>(tensor.data);
  }
  check(argument, tensor, Type::int32, shape);
  const size_t count = static_cast<size_t>(shape.count());
  const int32_t *narrow = static_cast<const int32_t *>(tensor.data);
  int64_t *wide = static_cast<int64_t *>(room.take(count * sizeof(int64_t)));
  for (size_t index = 0; index < count; ++index) wide[index] = narrow[index];
  return wide;
}

int64_t *Call::indices_out(size_t output, const char *argument, const Shape &shape) const {
  const Tensor &tensor = outputs[output];
  if (tensor.type != Type::int32) {
    check(argument, tensor, Type::int64, shape);
    return static_cast<int64_t *>(tensor.data);
  }
  check(argument, tensor, Type::int32, shape);
  return static_cast<int64_t *>(scratch_.indices.take(static_cast<size_t>(shape.count()) * sizeof(int64_t)));
}

void Call::finish_indices(size_t output, const int64_t *indices) const {
  const Tensor &tensor = outputs[output];
  if (tensor.type != Type::int32) return;
  const size_t count = static_cast<size_t>(tensor.shape.count());
  int32_t *narrow = static_cast<int32_t *>(tensor.data);
  for (size_t index = 0; index < count; ++index) narrow[index] = static_cast<int32_t>(indices[index]);
}

void Call::check_status(edgekit_status status) const {
  if (status != EDGEKIT_OK) throw Failure(edgekit_last_error());
}

}  // namespace edgekit::litert_binding
