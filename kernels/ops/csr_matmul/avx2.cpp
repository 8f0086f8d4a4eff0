// csr_matmul for AVX2, eight columns at a time.

#include "../common/f32x8_avx2.h"
#include "rows.h"

namespace edgekit::csr_matmul {

const Kernels kAvx2{Isa::kAvx2, rows<F32x8Avx2>};

}  // namespace edgekit::csr_matmul
