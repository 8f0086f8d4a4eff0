// kv_append for NEON, eight numbers at a time.

#include "../common/f32x8_neon.h"
#include "rows.h"

namespace edgekit::kv_append {

const Kernels kNeon{
    Isa::kNeon,
    convert<F32x8Neon, float, uint16_t>,
    convert<F32x8Neon, uint16_t, float>,
    quantize<F32x8Neon, float>,
    quantize<F32x8Neon, uint16_t>,
};

}  // namespace edgekit::kv_append
