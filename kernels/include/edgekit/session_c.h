/* A loaded bundle, ready to run, in plain C: the same session and tasks as session.h, for C and for every language that
 * calls C (Rust, Go, Swift, Java).
 *
 * Purpose. Functions that open a bundle, run its methods, and do its task: go on with a text, find objects in an image,
 * score rows of sensors. Each is one call of the C++ class of the same name, whose header says what it means in full.
 *
 * Example. One image of 1 x 1 x 256 x 256 through the only method of a bundle:
 *
 *     edgekit_session *session = NULL;
 *     if (edgekit_session_open("bundles/rpcanet-s1-raspberry-pi-5-int8", NULL, &session) != EDGEKIT_SESSION_OK)
 *       return fail(edgekit_session_last_error());
 *     const int64_t shape[] = {1, 1, 256, 256};
 *     edgekit_tensor image = {pixels, EDGEKIT_DTYPE_FLOAT32, 4, shape}, logits = {answer, EDGEKIT_DTYPE_FLOAT32, 4, shape};
 *     if (edgekit_session_run(session, "forward", &image, 1, &logits, 1, NULL) != EDGEKIT_SESSION_OK)
 *       return fail(edgekit_session_last_error());
 *     edgekit_session_close(session);
 *
 * Errors. A function that can fail gives a status; edgekit_session_last_error() then has one sentence for the calling
 * thread. A handle that is NULL is refused as a usage error. Nothing throws.
 *
 * Lifetimes. What was opened on a session must be closed before it. Closing NULL does nothing. Pointers that are given
 * out (names, text, masks) are the handle's: until its next call, where nothing else is said.
 *
 * Threads. As in session.h: a session and what was opened on it take one call at a time.
 */
#ifndef EDGEKIT_SESSION_C_H
#define EDGEKIT_SESSION_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EDGEKIT_SESSION_C_API __attribute__((visibility("default")))
#else
#define EDGEKIT_SESSION_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Rises when a function or a struct changes or goes. */
#define EDGEKIT_SESSION_C_VERSION 2
EDGEKIT_SESSION_C_API int edgekit_session_c_version(void);

typedef enum edgekit_session_status {
  EDGEKIT_SESSION_OK = 0,
  EDGEKIT_SESSION_FAILED = 1, /* the work failed: a damaged file, no memory */
  EDGEKIT_SESSION_USAGE = 2,  /* the request made no sense: an unknown name, a shape that no method takes */
} edgekit_session_status;

/* The calling thread's last error: one sentence, or "". Valid until its next failing call. */
EDGEKIT_SESSION_C_API const char *edgekit_session_last_error(void);
/* The library's version, such as "0.1.0". */
EDGEKIT_SESSION_C_API const char *edgekit_session_runtime_version(void);

typedef enum edgekit_session_dtype {
  EDGEKIT_DTYPE_FLOAT32 = 0,
  EDGEKIT_DTYPE_FLOAT16 = 1,
  EDGEKIT_DTYPE_FLOAT64 = 2,
  EDGEKIT_DTYPE_INT8 = 3,
  EDGEKIT_DTYPE_UINT8 = 4,
  EDGEKIT_DTYPE_INT16 = 5,
  EDGEKIT_DTYPE_INT32 = 6,
  EDGEKIT_DTYPE_INT64 = 7,
  EDGEKIT_DTYPE_BOOL = 8,
} edgekit_session_dtype;

/* A contiguous tensor in the caller's memory, last dimension innermost, aligned to 16 bytes at least; of an input the 16
 * bytes behind its end must be readable. */
typedef struct edgekit_tensor {
  void *data; /* an input is only read */
  edgekit_session_dtype dtype;
  int rank;
  const int64_t *shape;
} edgekit_tensor;

typedef struct edgekit_tensor_spec {
  const char *name;
  edgekit_session_dtype dtype;
  int rank;
  const int64_t *shape; /* the largest, where `dynamic` */
  bool dynamic;         /* whether the first dimension may be anything from 1 to what `shape` says */
  const char *units;    /* "" if unknown */
} edgekit_tensor_spec;

/* Threads that operators share, for the whole process; 0: one for each core that it may use. Not while a session runs. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_set_threads(int count);

/* Sessions ---------------------------------------------------------------------------------------------------------- */

typedef struct edgekit_session edgekit_session;

typedef struct edgekit_session_options {
  bool skip_file_check;   /* do not compare files with the manifest's hashes */
  bool skip_finite_check; /* do not refuse float32 inputs with an infinity or NaN */
  const char *public_key; /* a file of public keys, one of which must have signed the bundle; files are then compared in
                             any case; NULL asks for none (session.h) */
} edgekit_session_options;

/* Reads and checks a bundle. `options` may be NULL: everything is checked. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_open(const char *folder,
                                                                  const edgekit_session_options *options,
                                                                  edgekit_session **session);
EDGEKIT_SESSION_C_API void edgekit_session_close(edgekit_session *session);

/* The task, such as "segment", and the manifest's text; the session's. NULL for NULL. */
EDGEKIT_SESSION_C_API const char *edgekit_session_task(const edgekit_session *session);
EDGEKIT_SESSION_C_API const char *edgekit_session_manifest(const edgekit_session *session);

EDGEKIT_SESSION_C_API int edgekit_session_method_count(const edgekit_session *session);
/* The name of a method, and how many tensors it takes and gives; the session's. NULL where there is none. */
EDGEKIT_SESSION_C_API const char *edgekit_session_method(const edgekit_session *session, int index, int *inputs,
                                                         int *outputs);
/* What a method takes and gives, by place; what the pointers point at is the session's. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_input(const edgekit_session *session, const char *method,
                                                                   int index, edgekit_tensor_spec *spec);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_output(const edgekit_session *session, const char *method,
                                                                    int index, edgekit_tensor_spec *spec);

/* Loads a method, so that its first run takes no longer than the others. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_load(edgekit_session *session, const char *method);
/* Runs a method. Outputs have room for the largest shape; of those that are dynamic, `rows` (one number an output, may
 * be NULL) gets the first dimension that was written. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_run(edgekit_session *session, const char *method,
                                                                 const edgekit_tensor *inputs, int input_count,
                                                                 const edgekit_tensor *outputs, int output_count,
                                                                 int64_t *rows);

/* Named states: what methods remember from call to call. A session begins with the state "default". */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_use_state(edgekit_session *session, const char *name);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_drop_state(edgekit_session *session, const char *name);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_reset_state(edgekit_session *session);
EDGEKIT_SESSION_C_API size_t edgekit_session_state_size(const edgekit_session *session);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_save_state(edgekit_session *session, void *to, size_t size);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_session_restore_state(edgekit_session *session, const void *from,
                                                                           size_t size);

/* Text: the task "generate_text" (generate.h) ----------------------------------------------------------------------- */

typedef struct edgekit_text edgekit_text;

typedef struct edgekit_sampling {
  int64_t max_tokens; /* most that are generated, 1 or more */
  double temperature; /* 0 takes the likeliest token; otherwise tokens are drawn, the flatter the higher */
  uint64_t seed;      /* of the draws, which are the same on every machine */
} edgekit_sampling;

/* Takes a token and what it adds to the text, UTF-8 without a 0 at its end, which may be nothing; valid during the call.
 * False ends the text. */
typedef bool (*edgekit_take_text)(void *user, int64_t token, const char *text, size_t size);

/* How a text went so far. `text` and `tokens` are valid until the next call that changes it. */
typedef struct edgekit_generation {
  int64_t prompt_tokens, generated_tokens;
  double prompt_seconds, generated_seconds; /* in the program */
  const int64_t *tokens;                    /* those that were generated */
  const char *text;                         /* the same as text, UTF-8 without a 0 at its end */
  size_t text_size;
  const char *reason; /* why it ended: "end", "length", "context" or "cancelled"; "" while it goes on */
} edgekit_generation;

EDGEKIT_SESSION_C_API edgekit_session_status edgekit_text_open(edgekit_session *session, edgekit_text **text);
/* A text that goes on is cancelled. */
EDGEKIT_SESSION_C_API void edgekit_text_close(edgekit_text *text);
/* Goes on with a prompt until the text's end; `take` may be NULL. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_text_generate(edgekit_text *text, const char *prompt, size_t size,
                                                                   const edgekit_sampling *sampling,
                                                                   edgekit_take_text take, void *user);
/* The same step by step: begin, then step until `more` is false. `token` is -1 where none was chosen (within a prompt,
 * at an end); `piece` and `piece_size` are what it adds to the text, valid until the next call. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_text_begin(edgekit_text *text, const char *prompt, size_t size,
                                                                const edgekit_sampling *sampling);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_text_step(edgekit_text *text, bool *more, int64_t *token,
                                                               const char **piece, size_t *piece_size);
/* Ends the text that goes on before its next token; from any thread, and from a signal handler. */
EDGEKIT_SESSION_C_API void edgekit_text_cancel(edgekit_text *text);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_text_generation(const edgekit_text *text,
                                                                     edgekit_generation *generation);

/* Images: the task "segment" (segment.h) ---------------------------------------------------------------------------- */

typedef struct edgekit_segmenter edgekit_segmenter;

/* One object. Rows and columns count from 0 at the top left; a pixel's centre is at a whole number. */
typedef struct edgekit_object {
  double centroid[2]; /* row, column: the mean over its pixels */
  int box[4];         /* top, left, bottom, right, the last two not included */
  int64_t area;       /* its pixels */
  float peak;         /* its highest logit */
  int peak_at[2];     /* row, column of that */
} edgekit_object;

EDGEKIT_SESSION_C_API edgekit_session_status edgekit_segmenter_open(edgekit_session *session,
                                                                    edgekit_segmenter **segmenter);
EDGEKIT_SESSION_C_API void edgekit_segmenter_close(edgekit_segmenter *segmenter);
/* An object is where a logit is above it; at first the bundle's own. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_segmenter_set_threshold(edgekit_segmenter *segmenter,
                                                                             double threshold);
/* Finds the objects of one gray image (height, width) float32, full scale 1, the highest peak first. `fit` is "resize",
 * "pad" or "tile"; NULL is "resize". The objects, and the mask (height, width) of 0 and 1, are the segmenter's until its
 * next call; each may be NULL. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_segmenter_run(edgekit_segmenter *segmenter, const float *image,
                                                                   int height, int width, const char *fit,
                                                                   const edgekit_object **objects, int *object_count,
                                                                   const uint8_t **mask);

/* Sensors: the task "detect_anomalies" (detect_anomalies.h) --------------------------------------------------------- */

typedef struct edgekit_anomaly_stream edgekit_anomaly_stream;

/* The answer for one row; arrays are the stream's, until its next call. */
typedef struct edgekit_row_result {
  bool scored; /* false while fewer rows than a window have come: the rest is then not set */
  bool alarm;
  float score;
  const float *errors; /* (channels) */
  const int *ranked;   /* (channels) indices by falling error */
  const char *diagnosis; /* of the alarm: "sensor" or "systematic" */
} edgekit_row_result;

/* A fresh stream; several may run beside each other on a session. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_open(edgekit_session *session,
                                                                         edgekit_anomaly_stream **stream);
EDGEKIT_SESSION_C_API void edgekit_anomaly_stream_close(edgekit_anomaly_stream *stream);
/* Rows of a window, channels, and a channel's name; 0, 0 and NULL where there is none. */
EDGEKIT_SESSION_C_API int edgekit_anomaly_stream_window(const edgekit_anomaly_stream *stream);
EDGEKIT_SESSION_C_API int edgekit_anomaly_stream_channels(const edgekit_anomaly_stream *stream);
EDGEKIT_SESSION_C_API const char *edgekit_anomaly_stream_channel(const edgekit_anomaly_stream *stream, int index);
/* A threshold by the name of the method that fitted it, or a number above 0 as text. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_use_threshold(edgekit_anomaly_stream *stream,
                                                                                  const char *threshold);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_push(edgekit_anomaly_stream *stream,
                                                                         const float *row, int channels,
                                                                         edgekit_row_result *result);
/* Takes rows (count, channels) that came together, in as few runs as the bundle's methods for several windows allow.
 * Answers go to the caller's errors (count, channels), scores (count) and alarms (count); rows that complete no window
 * get NaN and no alarm. If it fails, no row is kept. */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_push_rows(edgekit_anomaly_stream *stream,
                                                                              const float *rows, int64_t count,
                                                                              int channels, float *errors,
                                                                              float *scores, bool *alarms);
/* What a row's errors (channels) say: `ranked` (channels) gets the indices by falling error, `diagnosis` "sensor" or
 * "systematic". */
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_rank(const edgekit_anomaly_stream *stream,
                                                                         const float *errors, int *ranked,
                                                                         const char **diagnosis);
EDGEKIT_SESSION_C_API edgekit_session_status edgekit_anomaly_stream_reset(edgekit_anomaly_stream *stream);

#ifdef __cplusplus
}
#endif

#endif /* EDGEKIT_SESSION_C_H */
