// sparse_topk for AVX2, eight keys at a time.

#include "../common/keys_avx2.h"
#include "rows.h"

namespace edgekit::sparse_topk {

const Kernels kAvx2{Isa::kAvx2, row<KeysAvx2, float>, row<KeysAvx2, uint16_t>};

}  // namespace edgekit::sparse_topk
