// The kernels of kv_append: one row at a time, one table for dispatch, tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../common/isa.h"

namespace edgekit::kv_append {

// `size` numbers of one type as another.
template <typename From, typename To>
using Convert = void (*)(const From *row, int64_t size, To *to);

// `size` numbers as int8; gives their scale. See edgekit_kv_append.
template <typename From>
using Quantize = float (*)(const From *row, int64_t size, int8_t *to);

struct Kernels {
  Isa isa;
  Convert<float, uint16_t> narrow;
  Convert<uint16_t, float> widen;
  Quantize<float> quantize_float32;
  Quantize<uint16_t> quantize_float16;
};

EDGEKIT_KERNEL_TABLE(Kernels);

}  // namespace edgekit::kv_append
