/* edgekit's operators on an NVIDIA GPU: what a program that calls edgekit/ops.h may say and ask about it.
 *
 * Purpose. Operators go to the GPU by themselves where that pays. The library carries code for several GPUs and finds
 * libcuda.so.1, which comes with the GPU's driver, when it first needs it; without one the CPU computes. Nothing here
 * need be called: what there is says where memory lies, so that nothing is copied, and puts off the wait for the GPU.
 *
 * Example. Two operators, one wait:
 *
 *     edgekit_gpu_begin(true);
 *     edgekit_kv_append(&context, &cache, EDGEKIT_FLOAT32, k, v, 1, position);
 *     edgekit_sparse_topk_attention(&context, &cache, q, scores, gates, v_mean, 1, cells, position, 64, out);
 *     if (edgekit_gpu_end() != EDGEKIT_OK) fprintf(stderr, "%s\n", edgekit_last_error());
 *
 * Which operators go there. EDGEKIT_GPU=0 in the environment: none. EDGEKIT_GPU=1: all whose kernels take the sizes.
 * Otherwise those that have least_work's work to do, waiting included; none as long as that was not set. edgekit_use_gpu
 * does the same for the process. An operator that could not be begun on the GPU is computed on the CPU.
 *
 * Memory. Operators take any memory. What is not said to be anything is copied to the GPU for the call, and back. Memory
 * of edgekit_gpu_allocate is not copied where CPU and GPU share theirs (a Jetson). What edgekit_gpu_keep calls constant
 * is copied once; what it calls a state stays on the GPU from call to call. Scratch of a context is the CPU's alone.
 *
 * Waiting. Operators return when they are done, except between edgekit_gpu_begin and edgekit_gpu_end on the same thread:
 * there they return as soon as their work is handed to the GPU, and edgekit_gpu_hand_over waits: the hand-over. Until then
 * their outputs are not there, and none of the memory that they were given may be touched, nor any other memory of
 * edgekit_gpu_allocate: some GPUs that share memory forbid it to the CPU while they run. An operator that goes to the CPU
 * hands over first.
 *
 * Threads. All functions may be called from any thread. Threads take turns on the GPU: from the first operator to the
 * hand-over, and on a GPU whose memory the CPU may not touch meanwhile (edgekit_gpu.exclusive) from begin to end.
 *
 * Errors. Where the GPU fails and an operator's arguments may have suffered, it (or the hand-over) gives
 * EDGEKIT_GPU_FAILED with a sentence; what operators since the last hand-over should have written or changed is lost. The
 * GPU is not used again by this process.
 */
#ifndef EDGEKIT_GPU_H
#define EDGEKIT_GPU_H

#include "ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The GPU that is used. */
typedef struct edgekit_gpu {
  char name[64];
  int major, minor; /* compute capability */
  int driver;       /* the newest CUDA that its driver knows: 12060 is 12.6 */
  bool integrated;  /* shares its memory with the CPU */
  bool exclusive;   /* memory of edgekit_gpu_allocate is not for the CPU while the GPU works */
} edgekit_gpu;

/* Finds the GPU, at the first call; false if none can be used, edgekit_gpu_reason has why. `gpu` may be NULL. */
EDGEKIT_API bool edgekit_gpu_find(edgekit_gpu *gpu);
/* Whether there is a driver of one, of whatever version; it is not started. */
EDGEKIT_API bool edgekit_gpu_has_driver(void);
/* Why no GPU is used: some words, such as "there is no libcuda.so.1, which comes with an NVIDIA GPU's driver"; "" if one
 * is, or none was looked for yet. */
EDGEKIT_API const char *edgekit_gpu_reason(void);

typedef enum edgekit_gpu_use {
  EDGEKIT_GPU_ENVIRONMENT = 0, /* what EDGEKIT_GPU says, or where it pays */
  EDGEKIT_GPU_WHERE_IT_PAYS = 1,
  EDGEKIT_GPU_NEVER = 2, /* the driver is not even opened */
  EDGEKIT_GPU_ALWAYS = 3,
} edgekit_gpu_use;

/* For the whole process, from the next operator on. */
EDGEKIT_API void edgekit_use_gpu(edgekit_gpu_use use);
/* What is in force: one of the last three. */
EDGEKIT_API edgekit_gpu_use edgekit_gpu_used(void);

/* Takes what there is to say, at most once for each reason: that the GPU was asked for and is not to be had, that its
 * memory is exhausted, that it failed. NULL: stderr, which is the default. `sentence` is valid during the call. */
EDGEKIT_API void edgekit_gpu_log(void (*take)(void *user, const char *sentence), void *user);

/* The operators that have kernels for a GPU, by place: "sparse_topk", ... NULL behind the last. */
#define EDGEKIT_GPU_OPERATORS 5
EDGEKIT_API const char *edgekit_gpu_operator(int place);

/* The least work of an operator that goes to the GPU; a negative number: none does. In units of
 *   sparse_topk            rows * n
 *   kv_append              heads * rows * size
 *   sparse_topk_attention  numbers of the cache that are read: heads * rows * min(k_budget, tokens) * size * 2
 *   sea_estimate           heads * rows
 *   csr_matmul             entries * batch * n
 * Gives EDGEKIT_INVALID_ARGUMENT where there is no such operator. For the whole process. */
EDGEKIT_API edgekit_status edgekit_gpu_least_work(const char *operation, int64_t work);

/* Memory that the CPU and the GPU work on: shared where the GPU is integrated, otherwise memory of the CPU that copies
 * are fast from. Aligned to 256 bytes, not initialised. NULL if there is no GPU or no such memory: use another. */
EDGEKIT_API void *edgekit_gpu_allocate(size_t bytes);
EDGEKIT_API void edgekit_gpu_release(void *memory);

typedef enum edgekit_gpu_kept {
  EDGEKIT_GPU_CONSTANT = 0, /* is not changed until it is forgotten */
  EDGEKIT_GPU_STATE = 1,    /* is changed by operators, and by others only after edgekit_gpu_fetch */
} edgekit_gpu_kept;

/* Lets the GPU keep what it copies of this memory. Nothing is copied before an operator asks for it; memory that is
 * shared never is. Memory of its own on the GPU is taken for what is copied. */
EDGEKIT_API void edgekit_gpu_keep(const void *memory, size_t bytes, edgekit_gpu_kept kept);
/* Of memory that was given to edgekit_gpu_keep: before it is given back. A state's newest numbers are lost. */
EDGEKIT_API void edgekit_gpu_forget(const void *memory);
/* Brings what operators changed of a kept state to the CPU's memory; `changes`: the CPU is going to change it. */
EDGEKIT_API edgekit_status edgekit_gpu_fetch(void *memory, size_t bytes, bool changes);

/* From here to edgekit_gpu_end, operators on this thread do not wait for the GPU, if `put_off`. Otherwise they do, and
 * the thread may touch memory of edgekit_gpu_allocate between them. Pairs may be nested, 32 deep: the end of the last that
 * puts off hands over. */
EDGEKIT_API void edgekit_gpu_begin(bool put_off);
EDGEKIT_API edgekit_status edgekit_gpu_hand_over(void);
EDGEKIT_API edgekit_status edgekit_gpu_end(void);
/* Writes a few words of four bytes where operators may be at work, in order with what they write. `to` is then read after
 * the hand-over at the earliest. */
EDGEKIT_API edgekit_status edgekit_gpu_write(void *to, const void *from, size_t bytes);

/* What went on in the whole process so far. */
typedef struct edgekit_gpu_counts {
  int64_t calls[EDGEKIT_GPU_OPERATORS]; /* of operators on the GPU, by place */
  int64_t launches[EDGEKIT_GPU_OPERATORS]; /* of kernels */
  int64_t hand_overs;
  int64_t bytes_to_gpu, bytes_to_cpu; /* copied */
} edgekit_gpu_counts;
EDGEKIT_API void edgekit_gpu_count(edgekit_gpu_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
