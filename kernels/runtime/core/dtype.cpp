#include "dtype.h"

namespace edgekit {
namespace {

struct Type {
  const char *name;
  size_t size;
};
// In the order of the enumeration.
constexpr Type kTypes[] = {{"float32", 4}, {"float16", 2}, {"float64", 8}, {"int8", 1}, {"uint8", 1},
                           {"int16", 2},   {"int32", 4},   {"int64", 8},   {"bool", 1}};
constexpr size_t kCount = sizeof kTypes / sizeof *kTypes;

}  // namespace

size_t size_of(DType dtype) noexcept {
  const size_t index = static_cast<size_t>(dtype);
  return index < kCount ? kTypes[index].size : 0;
}

const char *name_of(DType dtype) noexcept {
  const size_t index = static_cast<size_t>(dtype);
  return index < kCount ? kTypes[index].name : "unknown";
}

bool dtype_of(const std::string &name, DType &dtype) noexcept {
  for (size_t index = 0; index < kCount; ++index) {
    if (name != kTypes[index].name) continue;
    dtype = static_cast<DType>(index);
    return true;
  }
  return false;
}

std::string shape_text(const int64_t *shape, int rank) {
  std::string text;
  for (int dimension = 0; dimension < rank; ++dimension)
    text += (dimension == 0 ? "" : "x") + std::to_string(shape[dimension]);
  return rank == 0 ? "scalar" : text;
}

std::string tensor_text(DType dtype, const int64_t *shape, int rank) {
  return std::string(name_of(dtype)) + " " + shape_text(shape, rank);
}

}  // namespace edgekit
