/* edgekit's operators: what a sparse model needs and no delegate has, for CPUs, in plain C.
 *
 * Purpose. The library computes sparse top-k, sparse attention over a KV cache, a product with a constant sparse matrix
 * and dense convolutions of stride 1. It depends on nothing but the C and C++ standard libraries, and is what the
 * bindings for torch and ExecuTorch call. The same operator means the same everywhere: `kernels/ops.py` holds the
 * schemas and an eager reference for each.
 *
 * Example. The 32 largest of every row of a 4096 x 256 matrix, on one thread:
 *
 *     size_t size = edgekit_sparse_topk_scratch(1, 256, 32);
 *     edgekit_context context = {.scratch = malloc(size), .scratch_size = size, .threads = 1};
 *     if (edgekit_sparse_topk(&context, EDGEKIT_FLOAT32, x, 4096, 256, 32, true, values, indices) != EDGEKIT_OK)
 *         fprintf(stderr, "%s\n", edgekit_last_error());
 *
 * Memory. All memory is the caller's: inputs, outputs and scratch. An operator allocates nothing and keeps no pointer
 * after it returns. How much scratch it needs, its `_scratch` function says; scratch need not be initialised, must be
 * aligned to 64 bytes, and may be used for another call as soon as this one has returned. Tensors are contiguous, last
 * dimension innermost, aligned to their element. Outputs do not overlap inputs, except where an argument is changed in
 * place.
 *
 * Threads. An operator runs on the calling thread, unless the context brings a `parallel` function (of a thread pool,
 * say). The answer has the same bits for any number of threads. Calls with contexts of their own may run at once.
 *
 * Instruction sets. The best kernels for this CPU are chosen at the first call. The environment variable EDGEKIT_ISA
 * (scalar, avx2 or neon) or edgekit_use_isa forces one.
 *
 * Errors. A function that can fail gives a status; edgekit_last_error then has a sentence with the operator, the
 * argument and its value. Nothing was written to the outputs. No function throws.
 */
#ifndef EDGEKIT_OPS_H
#define EDGEKIT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EDGEKIT_API __attribute__((visibility("default")))
#else
#define EDGEKIT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Rises when a function changes or goes; a binding refuses a library of another number. */
#define EDGEKIT_OPS_VERSION 1
EDGEKIT_API int edgekit_ops_version(void);

typedef enum edgekit_status {
  EDGEKIT_OK = 0,
  EDGEKIT_INVALID_ARGUMENT = 1,
  EDGEKIT_UNSUPPORTED_ISA = 2,
} edgekit_status;

typedef enum edgekit_dtype {
  EDGEKIT_FLOAT32 = 0,
  EDGEKIT_FLOAT16 = 1, /* IEEE 754 binary16 */
  EDGEKIT_INT8 = 2,
} edgekit_dtype;

/* The calling thread's last error: one sentence, or "". Valid until its next failing call. */
EDGEKIT_API const char *edgekit_last_error(void);

/* The instruction set in use: "scalar", "avx2" or "neon". NULL if EDGEKIT_ISA names one that this CPU or library does
 * not have; then every operator fails with EDGEKIT_UNSUPPORTED_ISA. */
EDGEKIT_API const char *edgekit_isa(void);

/* Forces an instruction set for the whole process; NULL chooses anew. For tests and benchmarks: not while an operator
 * runs. */
EDGEKIT_API edgekit_status edgekit_use_isa(const char *name);

/* Scratch memory, and the threads to share the work. */
typedef struct edgekit_context {
  void *scratch;       /* aligned to 64 bytes */
  size_t scratch_size; /* bytes */
  int threads;         /* tasks to split into, at least 1; what the _scratch functions were asked for */
  /* Runs task(argument, i) for every i in [0, tasks), in any order and at once or not, and returns when all are done.
   * NULL: one after another on the calling thread. */
  void (*parallel)(void *pool, int tasks, void (*task)(void *argument, int index), void *argument);
  void *pool; /* handed to `parallel` */
} edgekit_context;

/* The k largest of each row.
 *
 *   x        rows x n, float32 or float16 (`dtype`)
 *   values   rows x k, of x's type
 *   indices  rows x k, places within the row
 *   sorted   descending by value; otherwise by ascending index
 *
 * Equal values (-0 equals 0) rank by index, the lower first; NaN ranks below everything. 1 <= k <= n < 2^31. */
EDGEKIT_API edgekit_status edgekit_sparse_topk(const edgekit_context *context, edgekit_dtype dtype, const void *x,
                                               int64_t rows, int64_t n, int64_t k, bool sorted, void *values,
                                               int64_t *indices);
EDGEKIT_API size_t edgekit_sparse_topk_scratch(int threads, int64_t n, int64_t k);

#ifdef __cplusplus
}
#endif
#endif
