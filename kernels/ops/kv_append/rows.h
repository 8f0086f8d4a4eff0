// kv_append on vectors of eight, see common/f32x8_avx2.h. The same bits as the scalar reference.
#pragma once

#include <algorithm>
#include <limits>

#include "kv_append.h"

namespace edgekit::kv_append {

// The last numbers of a row, fewer than eight, with zeros after them.
template <typename From>
struct Rest {
  From numbers[8] = {};
  Rest(const From *row, int64_t count) { std::copy(row, row + count, numbers); }
};

template <typename Simd, typename From, typename To>
void convert(const From *row, int64_t size, To *to) {
  int64_t place = 0;
  for (; place + 8 <= size; place += 8) Simd::store(to + place, Simd::load(row + place));
  if (place == size) return;
  To rest[8];
  Simd::store(rest, Simd::load(Rest<From>(row + place, size - place).numbers));
  std::copy(rest, rest + (size - place), to + place);
}

template <typename Simd, typename From>
float quantize(const From *row, int64_t size, int8_t *to) {
  const int64_t whole = size / 8 * 8;
  const Rest<From> rest(row + whole, size - whole);
  const auto last = Simd::load(rest.numbers);
  auto most = Simd::magnitude(last);
  auto nothing = Simd::mul(last, Simd::set(0));  // NaN where a number is not finite
  for (int64_t place = 0; place < whole; place += 8) {
    const auto numbers = Simd::load(row + place);
    most = Simd::larger(most, Simd::magnitude(numbers));
    nothing = Simd::fma(numbers, Simd::set(0), nothing);
  }
  const float largest = Simd::largest(most);
  const float scale = Simd::sum(nothing) == 0 ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  if (!(scale > 0)) {
    std::fill(to, to + size, static_cast<int8_t>(0));
    return scale;
  }
  const auto quants = [divisor = Simd::set(scale)](typename Simd::Floats numbers) {
    const auto quotients = Simd::div(numbers, divisor);
    // A scale that is a denormal number is coarse: then a quotient may exceed 127.
    const auto below = Simd::sub(Simd::set(0), Simd::larger(Simd::sub(Simd::set(0), quotients), Simd::set(-127)));
    return Simd::larger(below, Simd::set(-127));
  };
  for (int64_t place = 0; place < whole; place += 8) Simd::store(to + place, quants(Simd::load(row + place)));
  int8_t ends[8];
  Simd::store(ends, quants(last));
  std::copy(ends, ends + (size - whole), to + whole);
  return scale;
}

}  // namespace edgekit::kv_append
