// sparse_topk_attention on a GPU: rows of a prompt, few rows (attend.cuh), and a whole step of one token (step.cuh).

#include "attend.cuh"
#include "step.cuh"

namespace edgekit::sparse_topk_attention {

EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_float32, CudaParams, kRowThreads, kRowBlocks) {
  attend_row<float>(p);
}
EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_float16, CudaParams, kRowThreads, kRowBlocks) {
  attend_row<uint16_t>(p);
}
EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_int8, CudaParams, kRowThreads, kRowBlocks) {
  attend_row<int8_t>(p);
}

EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_split_float32, CudaParams, kSplitThreads, kSplitBlocks) {
  attend_split_row<float, kSplitThreads>(p, blockIdx.y);
}
EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_split_float16, CudaParams, kSplitThreads, kSplitBlocks) {
  attend_split_row<uint16_t, kSplitThreads>(p, blockIdx.y);
}
EDGEKIT_GPU_KERNEL(edgekit_sparse_topk_attention_split_int8, CudaParams, kSplitThreads, kSplitBlocks) {
  attend_split_row<int8_t, kSplitThreads>(p, blockIdx.y);
}

EDGEKIT_GPU_KERNEL(edgekit_sea_step_float32, StepParams, kStepThreads, kStepBlocks) { attend_step<float>(p); }
EDGEKIT_GPU_KERNEL(edgekit_sea_step_float16, StepParams, kStepThreads, kStepBlocks) { attend_step<uint16_t>(p); }
EDGEKIT_GPU_KERNEL(edgekit_sea_step_int8, StepParams, kStepThreads, kStepBlocks) { attend_step<int8_t>(p); }

}  // namespace edgekit::sparse_topk_attention
