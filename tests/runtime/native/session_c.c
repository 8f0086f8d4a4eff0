/* Uses every function of session_c.h: session_c CASE BUNDLE [FILE...]; prints what came of it, a line each. C11. */

#include <edgekit/session_c.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(edgekit_session_status status) {
  if (status == EDGEKIT_SESSION_OK) return;
  printf("%d %s\n", (int)status, edgekit_session_last_error());
  exit(0);
}

static void refused(edgekit_session_status status) { printf("%d %s\n", (int)status, edgekit_session_last_error()); }

/* A file of float32 numbers, and how many; behind them 16 bytes that kernels may read. */
static float *numbers(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) exit(3);
  fseek(file, 0, SEEK_END);
  const size_t bytes = (size_t)ftell(file);
  rewind(file);
  float *found = aligned_alloc(64, (bytes + 16 + 63) / 64 * 64);
  if (found == NULL || fread(found, 1, bytes, file) != bytes) exit(3);
  fclose(file);
  *count = bytes / sizeof *found;
  return found;
}

static double milliseconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* The first method on one input of float32, its largest; prints the first output. */
static void run_tensors(edgekit_session *session, const char *path) {
  int inputs = 0, outputs = 0;
  const char *method = edgekit_session_method(session, 0, &inputs, &outputs);
  edgekit_tensor_spec in, out;
  check(edgekit_session_input(session, method, 0, &in));
  check(edgekit_session_output(session, method, 0, &out));
  printf("%s %d %d %s %s %d %d %d\n", method, inputs, outputs, in.name, out.name, in.rank, (int)in.dtype, in.dynamic);
  size_t count = 0, size = 1;
  float *given = numbers(path, &count);
  for (int place = 0; place < out.rank; ++place) size *= (size_t)out.shape[place];
  float *answer = aligned_alloc(64, (size * sizeof *answer + 63) / 64 * 64);
  const edgekit_tensor from = {given, in.dtype, in.rank, in.shape}, to = {answer, out.dtype, out.rank, out.shape};
  int64_t rows = 0;
  check(edgekit_session_load(session, method));
  check(edgekit_session_run(session, method, &from, 1, &to, 1, &rows));
  printf("%lld\n", (long long)rows);
  for (size_t index = 0; index < size; ++index) printf("%.9g\n", (double)answer[index]);
  free(given);
  free(answer);
}

static bool print_piece(void *user, int64_t token, const char *text, size_t size) {
  int *left = user;
  printf("%lld %.*s\n", (long long)token, (int)size, text);
  return --*left > 0;
}

static void run_text(edgekit_session *session, const char *prompt) {
  edgekit_text *text = NULL;
  check(edgekit_text_open(session, &text));
  edgekit_sampling sampling = {6, 0.0, 0};
  int left = 100;
  check(edgekit_text_generate(text, prompt, strlen(prompt), &sampling, print_piece, &left));
  edgekit_generation went;
  check(edgekit_text_generation(text, &went));
  printf("%lld %lld %s|%.*s\n", (long long)went.prompt_tokens, (long long)went.generated_tokens, went.reason,
         (int)went.text_size, went.text);
  left = 2; /* the callback ends this one */
  check(edgekit_text_generate(text, prompt, strlen(prompt), &sampling, print_piece, &left));
  check(edgekit_text_generation(text, &went));
  printf("%lld %s\n", (long long)went.generated_tokens, went.reason);
  bool more = true;
  check(edgekit_text_begin(text, prompt, strlen(prompt), &sampling));
  while (more) {
    int64_t token = -1;
    const char *piece = "";
    size_t size = 0;
    check(edgekit_text_step(text, &more, &token, &piece, &size));
    if (token >= 0) printf("%lld %.*s\n", (long long)token, (int)size, piece);
  }
  check(edgekit_text_begin(text, prompt, strlen(prompt), &sampling));
  edgekit_text_cancel(text);
  int64_t token = 0;
  check(edgekit_text_step(text, &more, &token, NULL, NULL));
  check(edgekit_text_generation(text, &went));
  printf("%d %lld %s\n", more, (long long)token, went.reason);
  refused(edgekit_text_step(text, &more, &token, NULL, NULL));
  refused(edgekit_text_begin(text, "", 0, &sampling));
  sampling.max_tokens = 0;
  refused(edgekit_text_generate(text, prompt, strlen(prompt), &sampling, NULL, NULL));
  edgekit_text_close(text);
}

static void run_states(edgekit_session *session, const char *path) {
  (void)path;
  const size_t size = edgekit_session_state_size(session);
  unsigned char *before = malloc(size), *after = malloc(size);
  int64_t token = 5, position = 0, row = 0;
  const int64_t one = 1;
  edgekit_tensor_spec logits;
  check(edgekit_session_output(session, "extend", 0, &logits));
  float *answer = malloc(sizeof *answer * (size_t)(logits.shape[0] * logits.shape[1]));
  /* Kernels read whole vectors: of the scalars too. */
  int64_t *given = aligned_alloc(64, 192);
  given[0] = token, given[8] = position, given[16] = row;
  const edgekit_tensor inputs[] = {{given, EDGEKIT_DTYPE_INT64, 1, &one},
                                   {given + 8, EDGEKIT_DTYPE_INT64, 0, NULL},
                                   {given + 16, EDGEKIT_DTYPE_INT64, 1, &one}};
  const int64_t shape[] = {1, logits.shape[1]};
  const edgekit_tensor output = {answer, EDGEKIT_DTYPE_FLOAT32, 2, shape};
  check(edgekit_session_save_state(session, before, size));
  check(edgekit_session_run(session, "extend", inputs, 3, &output, 1, NULL));
  check(edgekit_session_save_state(session, after, size));
  printf("%d\n", memcmp(before, after, size) != 0);
  check(edgekit_session_use_state(session, "other"));
  check(edgekit_session_save_state(session, after, size));
  printf("%d\n", memcmp(before, after, size) == 0);
  check(edgekit_session_use_state(session, "default"));
  check(edgekit_session_drop_state(session, "other"));
  refused(edgekit_session_drop_state(session, "other"));
  check(edgekit_session_reset_state(session));
  check(edgekit_session_restore_state(session, before, size));
  check(edgekit_session_save_state(session, after, size));
  printf("%d\n", memcmp(before, after, size) == 0);
  refused(edgekit_session_restore_state(session, before, size - 1));
  free(before), free(after), free(answer), free(given);
}

static void run_segment(edgekit_session *session, const char *path) {
  size_t count = 0;
  float *image = numbers(path, &count);
  const int side = (int)lround(sqrt((double)count));
  edgekit_segmenter *segmenter = NULL;
  check(edgekit_segmenter_open(session, &segmenter));
  check(edgekit_segmenter_set_threshold(segmenter, 0.0));
  const edgekit_object *objects = NULL;
  const uint8_t *mask = NULL;
  int found = 0;
  check(edgekit_segmenter_run(segmenter, image, side, side, "resize", &objects, &found, &mask));
  int64_t pixels = 0;
  for (size_t index = 0; index < count; ++index) pixels += mask[index];
  printf("%d %lld\n", found, (long long)pixels);
  for (int index = 0; index < found; ++index)
    printf("%lld %.6g %d %d\n", (long long)objects[index].area, (double)objects[index].peak, objects[index].peak_at[0],
           objects[index].peak_at[1]);
  refused(edgekit_segmenter_run(segmenter, image, side, side, "stretch", NULL, NULL, NULL));
  edgekit_segmenter_close(segmenter);
  free(image);
}

static void run_anomalies(edgekit_session *session, const char *path) {
  size_t count = 0;
  float *rows = numbers(path, &count);
  edgekit_anomaly_stream *stream = NULL;
  check(edgekit_anomaly_stream_open(session, &stream));
  const int channels = edgekit_anomaly_stream_channels(stream);
  printf("%d %d %s %s\n", edgekit_anomaly_stream_window(stream), channels, edgekit_anomaly_stream_channel(stream, 0),
         edgekit_anomaly_stream_channel(stream, channels) == NULL ? "none" : "some");
  check(edgekit_anomaly_stream_use_threshold(stream, "0.5"));
  edgekit_row_result result;
  for (size_t row = 0; row < count / (size_t)channels; ++row) {
    check(edgekit_anomaly_stream_push(stream, rows + row * (size_t)channels, channels, &result));
    if (result.scored)
      printf("%.6g %d %d %s\n", (double)result.score, result.alarm, result.ranked[0], result.alarm ? result.diagnosis : "-");
    else
      printf("filling\n");
  }
  check(edgekit_anomaly_stream_reset(stream));
  const size_t all = count / (size_t)channels;
  float *errors = malloc(count * sizeof *errors), *scores = malloc(all * sizeof *scores);
  bool *alarms = malloc(all * sizeof *alarms);
  int *ranked = malloc((size_t)channels * sizeof *ranked);
  check(edgekit_anomaly_stream_push_rows(stream, rows, (int64_t)all, channels, errors, scores, alarms));
  for (size_t row = 0; row < all; ++row) {
    const char *diagnosis = "-";
    if (isnan(scores[row])) {
      printf("%s\n", alarms[row] ? "alarm" : "filling");
      continue;
    }
    check(edgekit_anomaly_stream_rank(stream, errors + row * (size_t)channels, ranked, &diagnosis));
    printf("%.6g %d %d %s\n", (double)scores[row], alarms[row], ranked[0], alarms[row] ? diagnosis : "-");
  }
  refused(edgekit_anomaly_stream_push_rows(stream, rows, 2, channels + 1, errors, scores, alarms));
  refused(edgekit_anomaly_stream_push_rows(stream, rows, -1, channels, errors, scores, alarms));
  free(errors), free(scores), free(alarms), free(ranked);
  check(edgekit_anomaly_stream_reset(stream));
  check(edgekit_anomaly_stream_push(stream, rows, channels, &result));
  printf("%s\n", result.scored ? "scored" : "filling");
  refused(edgekit_anomaly_stream_push(stream, rows, channels + 1, &result));
  refused(edgekit_anomaly_stream_use_threshold(stream, "nonsense"));
  edgekit_anomaly_stream_close(stream);
  free(rows);
}

/* What is wrong with a request; nothing of it may end the program. */
static void run_refusals(edgekit_session *session, const char *path) {
  (void)path;
  edgekit_session *other = NULL;
  refused(edgekit_session_open("/nowhere/to/be/found", NULL, &other));
  refused(edgekit_session_open(NULL, NULL, &other));
  refused(edgekit_session_run(session, "none", NULL, 0, NULL, 0, NULL));
  refused(edgekit_session_run(NULL, "none", NULL, 0, NULL, 0, NULL));
  refused(edgekit_session_run(session, edgekit_session_method(session, 0, NULL, NULL), NULL, 1, NULL, 0, NULL));
  const int64_t shape[] = {1};
  const edgekit_tensor bad = {&other, (edgekit_session_dtype)77, 1, shape};
  refused(edgekit_session_run(session, edgekit_session_method(session, 0, NULL, NULL), &bad, 1, NULL, 0, NULL));
  edgekit_tensor_spec spec;
  refused(edgekit_session_input(session, "none", 0, &spec));
  refused(edgekit_session_input(session, edgekit_session_method(session, 0, NULL, NULL), 9, &spec));
  refused(edgekit_session_set_threads(-1));
  edgekit_text *text = NULL;
  refused(edgekit_text_open(session, &text));
  printf("%d %d\n", text == NULL && other == NULL, edgekit_session_method(session, 99, NULL, NULL) == NULL);
  edgekit_session_close(NULL);
  edgekit_text_close(NULL);
  edgekit_segmenter_close(NULL);
  edgekit_anomaly_stream_close(NULL);
  edgekit_text_cancel(NULL);
}

/* Medians of a call through C, in microseconds; benchmarks/c_overhead.py has C++ beside it. */
static int rising(const void *a, const void *b) {
  const double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

static void run_time(edgekit_session *session, const char *path) {
  size_t count = 0;
  float *rows = numbers(path, &count);
  edgekit_anomaly_stream *stream = NULL;
  check(edgekit_anomaly_stream_open(session, &stream));
  const int channels = edgekit_anomaly_stream_channels(stream);
  const size_t all = count / (size_t)channels;
  double *times = malloc(sizeof *times * all);
  edgekit_row_result result;
  for (size_t row = 0; row < all; ++row) {
    const double start = milliseconds();
    check(edgekit_anomaly_stream_push(stream, rows + row * (size_t)channels, channels, &result));
    times[row] = 1e3 * (milliseconds() - start);
  }
  qsort(times, all, sizeof *times, rising);
  printf("%.3f\n", times[all / 2]);
  edgekit_anomaly_stream_close(stream);
  free(rows), free(times);
}

static const struct {
  const char *name;
  void (*run)(edgekit_session *session, const char *argument);
} kCases[] = {{"tensors", run_tensors},     {"text", run_text},         {"states", run_states}, {"segment", run_segment},
              {"anomalies", run_anomalies}, {"refusals", run_refusals}, {"time", run_time}};

int main(int count, char **arguments) {
  if (count != 4 || edgekit_session_c_version() != EDGEKIT_SESSION_C_VERSION) return 3;
  const edgekit_session_options options = {false, false, getenv("SESSION_C_PUBLIC_KEY")};
  edgekit_session *session = NULL;
  check(edgekit_session_open(arguments[2], &options, &session));
  printf("%s %s %d\n", edgekit_session_runtime_version(), edgekit_session_task(session),
         strstr(edgekit_session_manifest(session), "\"pipeline\"") != NULL);
  for (size_t index = 0; index < sizeof kCases / sizeof *kCases; ++index)
    if (strcmp(kCases[index].name, arguments[1]) == 0) kCases[index].run(session, arguments[3]);
  edgekit_session_close(session);
  return 0;
}
