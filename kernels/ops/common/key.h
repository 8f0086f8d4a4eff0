// Numbers as integers that order like them: NaN lowest, -0 equal to 0.
#pragma once

#include <cstdint>

#include "float16.h"

namespace edgekit {

constexpr int32_t kNanKey = INT32_MIN;  // below the key of -infinity

inline int32_t key_of(float value) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return kNanKey;
  return bits >> 31 ? -static_cast<int32_t>(magnitude) : static_cast<int32_t>(magnitude);
}

inline int32_t key_of(uint16_t half) { return key_of(half_to_float(half)); }

}  // namespace edgekit
