// Element types and their names.
#pragma once

#include <string>

#include "edgekit/session.h"

namespace edgekit {

constexpr size_t kMostDimensions = 16;

// False if there is no such type.
bool dtype_of(const std::string &name, DType &dtype) noexcept;

// Such as "float32 1x3x224x224".
std::string shape_text(const int64_t *shape, int rank);
std::string tensor_text(DType dtype, const int64_t *shape, int rank);

}  // namespace edgekit
