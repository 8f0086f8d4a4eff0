// sea_estimate for NEON, eight numbers at a time.

#include "../common/f32x8_neon.h"
#include "run.h"

namespace edgekit::sea_estimate {

const Kernels kNeon{Isa::kNeon, Estimate<F32x8Neon>::run};

}  // namespace edgekit::sea_estimate
