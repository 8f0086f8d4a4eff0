// sparse_topk for NEON, four keys at a time.

#include "../common/keys_neon.h"
#include "rows.h"

namespace edgekit::sparse_topk {

const Kernels kNeon{Isa::kNeon, row<KeysNeon, float>, row<KeysNeon, uint16_t>};

}  // namespace edgekit::sparse_topk
