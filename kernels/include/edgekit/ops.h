/* edgekit's operators: what a sparse model needs and no delegate has, for CPUs, in plain C.
 *
 * Purpose. The library computes sparse top-k, sparse attention over a KV cache and the estimator that chooses its
 * tokens, a product with a constant sparse matrix and dense convolutions of stride 1. It depends on nothing but the C
 * and C++ standard libraries, and is what the bindings for torch and ExecuTorch call. The same operator means the same
 * everywhere: `kernels/ops.py` holds the schemas and an eager reference for each.
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
 * GPU. Where there is an NVIDIA GPU, operators that are large enough go there: gpu.h.
 *
 * Errors. A function that can fail gives a status; edgekit_last_error then has a sentence with the operator, the
 * argument and its value. Nothing was written to the outputs, unless it was the GPU that failed. No function throws.
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
  EDGEKIT_GPU_FAILED = 3, /* outputs, and what is changed in place, are lost: see gpu.h */
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

/* The KV cache of one attention layer, batch 1. */
typedef struct edgekit_kv_cache {
  edgekit_dtype dtype;      /* of k and v: float32, float16 or int8 */
  int64_t heads;            /* H */
  int64_t capacity;         /* T_max: tokens there is room for, below 2^31 - 1 */
  int64_t size;             /* d: numbers a token and head */
  void *k, *v;              /* heads x capacity x size */
  float *k_scale, *v_scale; /* heads x capacity, with int8; else NULL: a number is its quant times its token's scale */
} edgekit_kv_cache;

/* Writes rows start_pos to start_pos + rows - 1 of every head into the cache, and touches nothing else.
 *
 *   k, v  heads x rows x size, float32 or float16 (`dtype`)
 *
 * Numbers are rounded to nearest, ties to even. int8: a row of a head has the scale max|row| / 127, and quants
 * row / scale; a row of zeros has scale 0 and quants 0, one with an infinity or NaN has scale NaN and quants 0.
 * rows >= 1, 0 <= start_pos <= capacity - rows. Needs no scratch. */
EDGEKIT_API edgekit_status edgekit_kv_append(const edgekit_context *context, const edgekit_kv_cache *cache,
                                             edgekit_dtype dtype, const void *k, const void *v, int64_t rows,
                                             int64_t start_pos);

/* Attention to the tokens that an estimator's scores choose (SEA, arXiv:2310.01777). The cache is read only.
 *
 *   q       heads x rows x size    scaled already
 *   scores  heads x rows x cells   the estimator's, before softmax
 *   gates   heads x rows x 2       g0 and g1, after the sigmoid
 *   v_mean  heads x rows x size    the mean of v from token 0 to the row's own
 *   out     heads x rows x size
 *
 * Row t stands at token start_pos + t and sees the L = start_pos + t + 1 tokens up to it. Of its heads * cells cells it
 * chooses n = heads * k_budget * cells / L (halves to even, at least 1, at most all) by their log-probabilities,
 * log_softmax(scores) of each head; equal ones rank by head and cell, the lower first; NaN ranks last. Cell m stands for
 * the tokens from round(m * L / cells) to round((m + 1) * L / cells) - 1 (halves up), which may be none. Then
 *
 *   out = g1 * g0 * (softmax(q . k) . v over the head's chosen tokens; 0 if it has none) + (1 - g1) * v_mean
 *
 * rows, cells, k_budget >= 1, 0 <= start_pos <= capacity - rows. Scratch does not depend on the number of tokens. */
EDGEKIT_API edgekit_status edgekit_sparse_topk_attention(const edgekit_context *context, const edgekit_kv_cache *cache,
                                                         const float *q, const float *scores, const float *gates,
                                                         const float *v_mean, int64_t rows, int64_t cells,
                                                         int64_t start_pos, int64_t k_budget, float *out);
EDGEKIT_API size_t edgekit_sparse_topk_attention_scratch(int threads, int64_t heads, int64_t cells, int64_t size);

/* The estimator of one layer's attention mask (SEA, arXiv:2310.01777, for causal language models): sizes and weights.
 * In what follows H heads, d size, M features, W width, K cells, C = 2 H channels. */
typedef struct edgekit_sea_weights {
  int64_t heads;    /* H */
  int64_t size;     /* d */
  int64_t features; /* M */
  int64_t width;    /* W */
  int64_t cells;    /* K */
  int64_t taps;     /* 1 to 3, at most W */
  int64_t capacity; /* T_max: tokens that have a position */
  const float *projection;                                   /* M x d: phi(x) = relu(projection x) + 0.001 */
  const float *positions;                                    /* T_max x d */
  const float *encoder_weight, *encoder_bias;                /* 2d x 3d, 2d */
  const float *encoder_norm_weight, *encoder_norm_bias;      /* 2d */
  const float *gates_weight, *gates_bias;                    /* 2 x 2d, 2 */
  const float *decoder_weight, *decoder_bias;                /* 2W x 2d, 2W */
  const float *row_norm_weight, *row_norm_bias;              /* W */
  const float *conv1_weight, *conv1_bias;                    /* C x C x 3 (times, oldest first) x 3 (places), C */
  const float *conv2_weight, *conv2_bias;                    /* as conv1 */
  const float *mix_weight, *mix_bias;                        /* H x C, H */
  const float *map_weight;                                   /* K x taps */
  const int64_t *map_start;                                  /* K: 0 to W - taps */
  const float *score_norm_weight, *score_norm_bias;          /* K */
} edgekit_sea_weights;

/* What the estimator keeps of the tokens before; changed in place. Token s has place s % 4 of the rows. */
typedef struct edgekit_sea_state {
  float *key_values; /* H x M x 2d: the sum of phi(k_s) [E_s ; v_s] */
  float *keys;       /* H x M: the sum of phi(k_s) */
  float *values;     /* H x d: the sum of v_s */
  float *conv1_rows; /* 4 x C x W: the inputs of the first convolution */
  float *conv2_rows; /* 4 x C x W: those of the second */
} edgekit_sea_state;

/* Estimates attention: what edgekit_sparse_topk_attention chooses tokens by, at a cost that does not depend on their
 * number.
 *
 *   q, k, v  heads x rows x size     q scaled already
 *   scores   heads x rows x cells
 *   gates    heads x rows x 2
 *   v_mean   heads x rows x size
 *
 * Row t stands at token s = start_pos + t; the state holds the tokens before start_pos. If start_pos is 0, it is not
 * read. With E_s row s of `positions`, GELU by the error function and layer norms with epsilon 1e-5, for every head
 *
 *   context = phi(q) . (sum of phi(k_i) [E_i ; v_i]) / phi(q) . (sum of phi(k_i) + 1e-6), over i <= s
 *   x       = gelu(norm(encoder [context ; v]))
 *   gates   = sigmoid(gates x)
 *   two channels = norm of each half of (decoder x)
 *
 * and for all channels together h1 = relu(conv1(channels)), h2 = relu(conv2(h1)), g = mix_weight h2. A convolution of
 * row s sees the rows s - 4, s - 2 and s (zeros before token 0) and the places w - 2, w and w + 2 (zeros outside).
 *
 *   scores[k] = norm(sum over j of map_weight[k, j] * g[map_start[k] + j] + mix_bias)
 *   v_mean    = (sum of v_i over i <= s) / (s + 1)
 *
 * A row's numbers have the same bits in whatever calls the rows come; on a GPU, which adds them in another order for other
 * calls, they are equal to rounding. rows >= 1, 0 <= start_pos <= capacity - rows; heads, size, features, width and cells
 * are 1 to 65535. Scratch does not depend on the number of tokens, and not on that of rows if there are 24 or more. */
EDGEKIT_API edgekit_status edgekit_sea_estimate(const edgekit_context *context, const edgekit_sea_weights *weights,
                                                const edgekit_sea_state *state, const float *q, const float *k,
                                                const float *v, int64_t rows, int64_t start_pos, float *scores,
                                                float *gates, float *v_mean);
EDGEKIT_API size_t edgekit_sea_estimate_scratch(int threads, const edgekit_sea_weights *weights, int64_t rows);

/* One token through SEA's attention: edgekit_sea_estimate, edgekit_kv_append and edgekit_sparse_topk_attention of one
 * row, which stands at token start_pos. On a GPU one launch.
 *
 *   q, k, v, out  heads x size    q scaled already
 *
 * The weights' heads and size are the cache's. State and cache hold the tokens before start_pos, and then this one. */
EDGEKIT_API edgekit_status edgekit_sea_step(const edgekit_context *context, const edgekit_sea_weights *weights,
                                            const edgekit_sea_state *state, const edgekit_kv_cache *cache,
                                            const float *q, const float *k, const float *v, int64_t start_pos,
                                            int64_t k_budget, float *out);
EDGEKIT_API size_t edgekit_sea_step_scratch(int threads, const edgekit_sea_weights *weights);

/* y = A x, for a sparse matrix A in compressed rows.
 *
 *   crow  rows + 1   where each row's entries begin, from 0 to `entries`, never falling
 *   col   entries    the entries' columns, 0 to columns - 1
 *   val   entries    their values
 *   x     batch x columns x n
 *   y     batch x rows x n
 *
 * A row's products are added in the order of its entries. Needs no scratch. */
EDGEKIT_API edgekit_status edgekit_csr_matmul(const edgekit_context *context, int64_t rows, int64_t columns,
                                              int64_t entries, const int64_t *crow, const int64_t *col,
                                              const float *val, const float *x, int64_t batch, int64_t n, float *y);

/* A convolution of stride 1 with zeros around the input.
 *
 *   x           n x c x h x w
 *   weight      o x c x kh x kw
 *   bias        o, or NULL
 *   pad_h       rows of zeros above and below; pad_w: columns of zeros left and right
 *   activation  the factor of negative outputs: 1 for none, 0 for ReLU, 0.1 for LeakyReLU(0.1)
 *   y           n x o x (h + 2 pad_h - kh + 1) x (w + 2 pad_w - kw + 1)
 *
 * Large kernels are computed by Fourier transforms, those of 3 x 3 by Winograd's: y is exact to 1e-5 of its range, and
 * an infinity or NaN may spread to the outputs around those that it belongs to. The choice depends on the
 * sizes alone. */
EDGEKIT_API edgekit_status edgekit_conv2d(const edgekit_context *context, const float *x, int64_t n, int64_t c,
                                          int64_t h, int64_t w, const float *weight, int64_t o, int64_t kh, int64_t kw,
                                          const float *bias, int64_t pad_h, int64_t pad_w, float activation, float *y);
EDGEKIT_API size_t edgekit_conv2d_scratch(int threads, int64_t n, int64_t c, int64_t h, int64_t w, int64_t o,
                                          int64_t kh, int64_t kw, int64_t pad_h, int64_t pad_w);

#ifdef __cplusplus
}
#endif
#endif
