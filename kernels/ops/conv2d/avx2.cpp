// conv2d for AVX2.

#include "../common/f32x8_avx2.h"
#include "run.h"

namespace edgekit::conv2d {

const Kernels kAvx2{Isa::kAvx2, run<F32x8Avx2>};

}  // namespace edgekit::conv2d
