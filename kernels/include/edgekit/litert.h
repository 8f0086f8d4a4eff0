/* edgekit's operators for LiteRT and TensorFlow Lite: what a program that runs `.tflite` files of edgekit links to, or
 * loads, beside its runtime.
 *
 * Purpose. `edgekit export --format tflite` writes programs whose custom operators are named `edgekit.NAME`, with their
 * attributes behind a question mark. libedgekit_litert.so has their kernels, once, behind three doors:
 *
 *   1. LiteRT's C interface (libLiteRt.so of 2.2 or newer): edgekit_litert_add_operators, below.
 *   2. A delegate plugin for interpreters, in Python
 *          Interpreter("program.tflite", experimental_delegates=[load_delegate("libedgekit_litert.so", {"threads": 4})])
 *      and in C++ by TfLiteExternalDelegateCreate. Works with ai-edge-litert, tflite-runtime 2.14 and their C++ twins.
 *      `threads` is the interpreter's own number if it is not given.
 *   3. Operators for a resolver of tflite-runtime 2.14: edgekit_litert_register.
 *
 * Example. Between LiteRtCreateOptions and LiteRtCreateCompiledModel one call adds all operators that a model needs:
 *
 *     edgekit_context threads = {.threads = 4};
 *     edgekit_litert_operators *operators = edgekit_litert_add_operators(NULL, model, options, &threads);
 *     if (operators == NULL) fprintf(stderr, "%s\n", edgekit_litert_last_error());
 *     LiteRtCreateCompiledModel(environment, model, options, &compiled);
 *     ...
 *     LiteRtRunCompiledModel(compiled, 0, input_count, inputs, output_count, outputs);
 *     const char *error = edgekit_litert_run_error(operators);
 *     if (error != NULL) fprintf(stderr, "%s\n", error);
 *     ...
 *     LiteRtDestroyCompiledModel(compiled);
 *     edgekit_litert_free(operators);
 *
 * Errors. LiteRT takes no notice of what a custom operator returns: ask edgekit_litert_run_error after each run and
 * after LiteRtCreateCompiledModel. Through the other doors the interpreter fails with the sentence.
 *
 * Memory. Operators that change a state (KV caches, the estimator's sums) take it in and give it out. Where a state's
 * input and output are the same memory they write what changes, and nothing is copied: hand LiteRT one host memory buffer
 * as both. Otherwise the state is copied first. Scratch is this library's; it grows to what the largest call needed.
 *
 * Constants. LiteRT hands custom operators memory that begins at a multiple of 64 only. What edgekit exports keeps to
 * that in the file, which must then be mapped (LiteRtCreateModelFromFile), or lie in memory at a multiple of 64.
 */
#ifndef EDGEKIT_LITERT_H
#define EDGEKIT_LITERT_H

#include <stddef.h>

#include "edgekit/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LiteRT's and TensorFlow Lite's own types: LiteRtModel, LiteRtOptions and TfLiteDelegate * are pointers to these. */
struct LiteRtModelT;
struct LiteRtOptionsT;
struct TfLiteDelegate;

/* The operators of one compiled model. */
typedef struct edgekit_litert_operators edgekit_litert_operators;

/* The calling thread's last error: one sentence, valid until its next. */
EDGEKIT_API const char *edgekit_litert_last_error(void);

/* Adds every operator of edgekit that a model calls to the options it will be compiled with. NULL if one of them is not
 * in this library, or its attributes make no sense.
 *
 *   library  what dlopen gave for libLiteRt.so; NULL: the process has its functions already
 *   threads  whose `parallel` is called if there is one, otherwise a pool with that many `threads`; copied, scratch is
 *            not looked at; NULL: one thread
 *
 * The answer must live as long as the compiled model, which runs one call at a time. */
EDGEKIT_API edgekit_litert_operators *edgekit_litert_add_operators(void *library, struct LiteRtModelT *model,
                                                                   struct LiteRtOptionsT *options,
                                                                   const edgekit_context *threads);
/* What went wrong in an operator since it was asked last, NULL if nothing did; valid until the next run. */
EDGEKIT_API const char *edgekit_litert_run_error(edgekit_litert_operators *operators);
/* Bytes of scratch that the operators hold. */
EDGEKIT_API size_t edgekit_litert_scratch(const edgekit_litert_operators *operators);
EDGEKIT_API void edgekit_litert_free(edgekit_litert_operators *operators);

/* Adds every operator of edgekit that a `.tflite` file calls to a resolver (tflite::MutableOpResolver *) of
 * tflite-runtime 2.14, whose library must be loaded with RTLD_GLOBAL. 0, or -1 with edgekit_litert_last_error. In Python
 *
 *     InterpreterWithCustomOps(custom_op_registerers=[lambda resolver: register(resolver, b"program.tflite")], ...) */
EDGEKIT_API int edgekit_litert_register(void *resolver, const char *tflite_file);

/* The delegate plugin's entries. Option: threads. */
EDGEKIT_API struct TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                                                 void (*report_error)(const char *));
EDGEKIT_API void tflite_plugin_destroy_delegate(struct TfLiteDelegate *delegate);

#ifdef __cplusplus
}
#endif
#endif
