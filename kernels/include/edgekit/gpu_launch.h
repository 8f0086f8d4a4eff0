/* edgekit's operators on a GPU, for callers with a context, a stream and memory of their own: the binding for torch.
 *
 * A function launches its operator's kernels on the caller's stream and returns; it never waits. Pointers in its
 * arguments are the device's; shapes, dtypes and meanings are those of edgekit/ops.h, where the function without
 * "launch_" stands. What lies in device memory is not checked: the columns of a matrix, say.
 *
 * Nothing of CUDA is needed to build against this, and at run time only libcuda.so.1, the GPU's driver.
 */
#ifndef EDGEKIT_GPU_LAUNCH_H
#define EDGEKIT_GPU_LAUNCH_H

#include "edgekit/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where kernels are launched. */
typedef struct edgekit_gpu_stream {
  int device;   /* CUDA's number of it; its primary context is used, which is that of CUDA's runtime */
  void *stream; /* a CUstream or cudaStream_t of that context; NULL is the default one */
  /* `bytes` of device memory, aligned to 256, for what is launched until the function returns: `owner` may hand it to
   * later work of the same stream. NULL if there is none. */
  void *(*allocate)(void *owner, size_t bytes);
  void *owner;
} edgekit_gpu_stream;

typedef enum edgekit_launched {
  EDGEKIT_LAUNCHED = 0,
  /* Nothing was launched, and outputs are as they were: compute by other means. No driver, no code for this GPU,
   * EDGEKIT_GPU=0 (edgekit_use_gpu), or sizes that the kernels do not take; edgekit_last_error() tells which. */
  EDGEKIT_NOT_TAKEN = 1,
  /* The arguments do not fit, the memory did not suffice, or the driver failed: edgekit_last_error() tells. */
  EDGEKIT_LAUNCH_REFUSED = 2,
  EDGEKIT_LAUNCH_NO_MEMORY = 3,
  EDGEKIT_LAUNCH_FAILED = 4,
} edgekit_launched;

EDGEKIT_API edgekit_launched edgekit_launch_sparse_topk(const edgekit_gpu_stream *gpu, edgekit_dtype dtype,
                                                        const void *x, int64_t rows, int64_t n, int64_t k, bool sorted,
                                                        void *values, int64_t *indices);

EDGEKIT_API edgekit_launched edgekit_launch_kv_append(const edgekit_gpu_stream *gpu, const edgekit_kv_cache *cache,
                                                      edgekit_dtype dtype, const void *k, const void *v, int64_t rows,
                                                      int64_t start_pos);

EDGEKIT_API edgekit_launched edgekit_launch_sparse_topk_attention(const edgekit_gpu_stream *gpu,
                                                                  const edgekit_kv_cache *cache, const float *q,
                                                                  const float *scores, const float *gates,
                                                                  const float *v_mean, int64_t rows, int64_t cells,
                                                                  int64_t start_pos, int64_t k_budget, float *out);

EDGEKIT_API edgekit_launched edgekit_launch_sea_estimate(const edgekit_gpu_stream *gpu,
                                                         const edgekit_sea_weights *weights,
                                                         const edgekit_sea_state *state, const float *q,
                                                         const float *k, const float *v, int64_t rows,
                                                         int64_t start_pos, float *scores, float *gates,
                                                         float *v_mean);

/* One token: edgekit_sea_estimate, edgekit_kv_append and edgekit_sparse_topk_attention of one row in one cooperative
 * launch. q, k, v and out are heads x 1 x size. */
EDGEKIT_API edgekit_launched edgekit_launch_sea_step(const edgekit_gpu_stream *gpu, const edgekit_sea_weights *weights,
                                                     const edgekit_sea_state *state, const edgekit_kv_cache *cache,
                                                     const float *q, const float *k, const float *v,
                                                     int64_t start_pos, int64_t k_budget, float *out);

EDGEKIT_API edgekit_launched edgekit_launch_csr_matmul(const edgekit_gpu_stream *gpu, int64_t rows, int64_t columns,
                                                       int64_t entries, const int64_t *crow, const int64_t *col,
                                                       const float *val, const float *x, int64_t batch, int64_t n,
                                                       float *y);

#ifdef __cplusplus
}
#endif
#endif
