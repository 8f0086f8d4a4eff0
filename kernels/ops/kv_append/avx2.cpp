// kv_append for AVX2, eight numbers at a time.

#include "../common/f32x8_avx2.h"
#include "rows.h"

namespace edgekit::kv_append {

const Kernels kAvx2{
    Isa::kAvx2,
    convert<F32x8Avx2, float, uint16_t>,
    convert<F32x8Avx2, uint16_t, float>,
    quantize<F32x8Avx2, float>,
    quantize<F32x8Avx2, uint16_t>,
};

}  // namespace edgekit::kv_append
