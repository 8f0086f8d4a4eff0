// csr_matmul for NEON, eight columns at a time.

#include "../common/f32x8_neon.h"
#include "rows.h"

namespace edgekit::csr_matmul {

const Kernels kNeon{Isa::kNeon, rows<F32x8Neon>};

}  // namespace edgekit::csr_matmul
