// exp on vectors.
#pragma once

namespace edgekit {

// exp(x) for x <= 88, with a relative error of at most 2e-7; 0 where exp(x) is below the least normal number (so for
// -inf); NaN for NaN.
//
// exp(x) = 2^n exp(r), |r| <= log(2) / 2; the polynomial's coefficients are a minimax fit of the relative error.
template <typename Simd>
inline typename Simd::Floats exp(typename Simd::Floats x) {
  constexpr float kLeast = -87.33654f;  // the least x whose exponential is a normal number
  const auto argument = Simd::larger(Simd::set(kLeast), x);
  const auto n = Simd::nearest(Simd::mul(argument, Simd::set(0x1.715476p+0f)));  // 1 / log(2)
  // log(2) in two parts; n times the first is exact.
  const auto coarse = Simd::fma(n, Simd::set(-0x1.62e4p-1f), argument);
  const auto r = Simd::fma(n, Simd::set(-0x1.7f7d1cp-20f), coarse);
  auto p = Simd::fma(r, Simd::set(0x1.6a23d0p-10f), Simd::set(0x1.123a20p-7f));
  p = Simd::fma(r, p, Simd::set(0x1.5558f2p-5f));
  p = Simd::fma(r, p, Simd::set(0x1.555492p-3f));
  p = Simd::fma(r, p, Simd::set(0x1.fffffcp-2f));
  p = Simd::fma(Simd::mul(r, r), p, r);
  const auto scale = Simd::power_of_two(n);
  return Simd::zero_where_less(x, Simd::set(kLeast), Simd::fma(p, scale, scale));
}

}  // namespace edgekit
