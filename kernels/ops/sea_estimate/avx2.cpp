// sea_estimate for AVX2, eight numbers at a time.

#include "../common/f32x8_avx2.h"
#include "run.h"

namespace edgekit::sea_estimate {

const Kernels kAvx2{Isa::kAvx2, Estimate<F32x8Avx2>::run};

}  // namespace edgekit::sea_estimate
