// conv2d for NEON.

#include "../common/f32x8_neon.h"
#include "run.h"

namespace edgekit::conv2d {

const Kernels kNeon{Isa::kNeon, run<F32x8Neon>};

}  // namespace edgekit::conv2d
