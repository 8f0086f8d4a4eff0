// sparse_topk_attention for AVX2, eight numbers at a time.

#include "../common/f32x8_avx2.h"
#include "../common/keys_avx2.h"
#include "attention.h"

namespace edgekit::sparse_topk_attention {

const Kernels kAvx2{
    Isa::kAvx2,
    rank<F32x8Avx2, KeysAvx2>,
    attend<F32x8Avx2, float>,
    attend<F32x8Avx2, uint16_t>,
    attend<F32x8Avx2, int8_t>,
};

}  // namespace edgekit::sparse_topk_attention
