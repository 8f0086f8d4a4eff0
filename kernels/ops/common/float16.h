// IEEE 754 binary16 as bits, for code without hardware conversions. Exact; rounds to nearest even.
#pragma once

#include <cstdint>
#include <cstring>

namespace edgekit {

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t fraction = half & 0x3ffu;
  if (exponent == 0x1f) return bits_to_float(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // denormals of binary16 are normal here
  return bits_to_float(sign | float_to_bits(magnitude));
}

inline uint16_t float_to_half(float value) {
  const uint32_t bits = float_to_bits(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  uint32_t shift, significand, exponent;
  if (magnitude >= 0x38800000u) {  // normal in binary16
    exponent = (magnitude >> 23) - 112;
    significand = magnitude & 0x7fffffu;
    shift = 13;
  } else {
    const uint32_t below = 126 - (magnitude >> 23);  // how far a bit of binary16's denormals is from the fraction's
    if (below > 24) return sign;
    exponent = 0;
    significand = (magnitude & 0x7fffffu) | 0x800000u;
    shift = below;
  }
  const uint32_t kept = significand >> shift, rest = significand & ((1u << shift) - 1), half = 1u << (shift - 1);
  const uint32_t rounded = kept + (rest > half || (rest == half && (kept & 1)));
  return static_cast<uint16_t>(sign | ((exponent << 10) + rounded));  // a carry moves into the exponent
}

}  // namespace edgekit
