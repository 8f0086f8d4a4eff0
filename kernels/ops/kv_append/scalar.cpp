// The reference.

#include <algorithm>
#include <cmath>
#include <limits>

#include "../common/float16.h"
#include "kv_append.h"

namespace edgekit::kv_append {
namespace {

float number(float x) { return x; }
float number(uint16_t half) { return half_to_float(half); }

void narrow(const float *row, int64_t size, uint16_t *to) {
  for (int64_t place = 0; place < size; ++place) to[place] = float_to_half(row[place]);
}

void widen(const uint16_t *row, int64_t size, float *to) {
  for (int64_t place = 0; place < size; ++place) to[place] = half_to_float(row[place]);
}

template <typename From>
float quantize(const From *row, int64_t size, int8_t *to) {
  float largest = 0;
  bool finite = true;
  for (int64_t place = 0; place < size; ++place) {
    finite = finite && std::isfinite(number(row[place]));
    largest = std::max(largest, std::fabs(number(row[place])));
  }
  const float scale = finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  for (int64_t place = 0; place < size; ++place) {
    // A scale that is a denormal number is coarse: then a quotient may exceed 127.
    const float quant = scale > 0 ? std::nearbyint(number(row[place]) / scale) : 0;
    to[place] = static_cast<int8_t>(std::clamp(quant, -127.0f, 127.0f));
  }
  return scale;
}

}  // namespace

const Kernels kScalar{Isa::kScalar, narrow, widen, quantize<float>, quantize<uint16_t>};

}  // namespace edgekit::kv_append
