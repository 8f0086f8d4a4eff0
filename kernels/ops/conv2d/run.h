// conv2d on vectors of eight, see common/f32x8_avx2.h, by the algorithm of the plan.
#pragma once

#include "direct.h"
#include "spectra.h"
#include "winograd.h"

namespace edgekit::conv2d {

template <typename Simd>
void run(const edgekit_context &context, const Problem &problem, const Plan &plan) {
  switch (plan.algorithm) {
    case Algorithm::kDirect:
      return Direct<Simd>::run(context, problem, plan);
    case Algorithm::kWinograd:
      return Winograd<Simd>::run(context, problem, plan);
    case Algorithm::kFft:
      return Spectra<Simd>::run(context, problem, plan);
  }
}

}  // namespace edgekit::conv2d
