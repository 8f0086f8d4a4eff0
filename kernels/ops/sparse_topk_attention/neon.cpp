// sparse_topk_attention for NEON, eight numbers at a time.

#include "../common/f32x8_neon.h"
#include "../common/keys_neon.h"
#include "attention.h"

namespace edgekit::sparse_topk_attention {

const Kernels kNeon{
    Isa::kNeon,
    rank<F32x8Neon, KeysNeon>,
    attend<F32x8Neon, float>,
    attend<F32x8Neon, uint16_t>,
    attend<F32x8Neon, int8_t>,
};

}  // namespace edgekit::sparse_topk_attention
