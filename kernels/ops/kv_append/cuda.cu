// kv_append on a GPU.

#include "append.cuh"

namespace edgekit::kv_append {

EDGEKIT_GPU_KERNEL(edgekit_kv_append_rows, CudaParams, kCudaThreads) {
  if (p.from == kFloat32) {
    p.wide ? append<float, 4>(p, blockIdx.x) : append<float, 1>(p, blockIdx.x);
  } else {
    p.wide ? append<uint16_t, 4>(p, blockIdx.x) : append<uint16_t, 1>(p, blockIdx.x);
  }
}

}  // namespace edgekit::kv_append
