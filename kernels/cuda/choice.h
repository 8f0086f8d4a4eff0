// Which operators are to go to the GPU, and who is told why they do not.
#pragma once

#include <cstdint>

#include "edgekit/gpu.h"

namespace edgekit::cuda {

enum class Operator { sparse_topk, kv_append, sparse_topk_attention, sea_estimate, csr_matmul };

const char *name_of(Operator op);

// EDGEKIT_GPU_WHERE_IT_PAYS, _NEVER or _ALWAYS.
edgekit_gpu_use use();
// The least work of an operator that pays; negative: it never does.
int64_t least_work(Operator op);

// What is said once in a process, however often it happens.
enum class Said { not_to_be_had, memory_exhausted, failed };
void say_once(Said what, const char *sentence);

}  // namespace edgekit::cuda
