// Runs a plan with one instruction set.
#pragma once

#include "direct.h"
#include "fft_conv.h"
#include "winograd.h"

namespace edgekit::conv2d {

template <typename Simd>
void run(const edgekit_context &context, const Problem &problem, const Plan &plan) {
  switch (plan.algorithm) {
    case Algorithm::kFft:
      if (plan.tile == 32) return FftConvolution<Simd, 32>(context, problem, plan).run(context);
      return FftConvolution<Simd, 64>(context, problem, plan).run(context);
    case Algorithm::kWinograd:
      return WinogradConvolution<Simd>(context, problem, plan).run(context);
    case Algorithm::kDirect:
      return DirectConvolution<Simd>(context, problem, plan).run(context);
  }
}

}  // namespace edgekit::conv2d
