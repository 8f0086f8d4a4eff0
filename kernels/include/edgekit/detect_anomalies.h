// Anomaly detection: rows of sensor readings in; scores, alarms and ranked channels out.
//
// Purpose. A bundle for this task reconstructs the newest row of a window of rows. What stands around the program is
// here: scaling, windows, the squared error of the newest row by channel, thresholds, the channels' graph. A score is
// the sum of a row's errors.
//
// Example. One row at a time:
//
//     edgekit::AnomalyPipelinePointer pipeline = edgekit::AnomalyPipeline::make(session.get());
//     edgekit::AnomalyStreamPointer stream = pipeline ? pipeline->stream() : nullptr;
//     if (!stream) return fail(edgekit::last_error());
//     edgekit::RowResult result;
//     while (read_sensors(row)) {
//       if (stream->push(row, channels, &result) == edgekit::Push::scored && result.alarm) stop(result.ranked[0]);
//     }
//
// Rows that come together go into push_rows(): the bundle's methods for several windows (`edgekit export --batch`) score
// them in one run, which takes less time a row than a run each.
//
// Lifetimes. A pipeline outlives its streams, and the session outlives both. A result's arrays are the stream's, until
// its next call.
//
// Threads. Streams of one pipeline may be used in turns; a session takes one call at a time.
#ifndef EDGEKIT_DETECT_ANOMALIES_H
#define EDGEKIT_DETECT_ANOMALIES_H

#include "edgekit/session.h"

namespace edgekit {

// The kind of fault: the worst channel is anomalous alone, or a neighbour in the graph is too.
enum class Diagnosis : uint8_t { sensor, systematic };
// Such as "sensor".
EDGEKIT_RUNTIME_API const char *name_of(Diagnosis diagnosis) noexcept;

class AnomalyDetector;
struct AnomalyDetectorDeleter {
  EDGEKIT_RUNTIME_API void operator()(AnomalyDetector *detector) const noexcept;
};
using AnomalyDetectorPointer = std::unique_ptr<AnomalyDetector, AnomalyDetectorDeleter>;

// What the task knows beside the program.
class EDGEKIT_RUNTIME_API AnomalyDetector {
 public:
  // From the manifest's field `pipeline`, as JSON.
  static AnomalyDetectorPointer read(const char *settings) noexcept;

  // Rows of one window: the first window() - 1 rows of a series have no score.
  int window() const noexcept;
  int channels() const noexcept;
  const char *channel(int index) const noexcept;

  // Alarm thresholds on the score, by the name of the method that fitted them, and the one in use.
  int threshold_count() const noexcept;
  const char *threshold_name(int index) const noexcept;
  const char *threshold_name() const noexcept;
  double threshold() const noexcept;
  // One of the names, or a number above 0, which is then called "given".
  bool use_threshold(const char *threshold) noexcept;

  // Raw readings (rows, channels) to the program's range.
  void scale(const float *readings, int64_t rows, float *scaled) const noexcept;
  // Channel indices by falling error, for one row's errors (channels).
  void rank(const float *errors, int *ranked) const noexcept;
  Diagnosis diagnosis(const float *errors) const noexcept;

  AnomalyDetector(const AnomalyDetector &) = delete;
  AnomalyDetector &operator=(const AnomalyDetector &) = delete;

 private:
  friend struct AnomalyDetectorDeleter;
  struct Impl;
  explicit AnomalyDetector(std::unique_ptr<Impl> impl) noexcept;
  ~AnomalyDetector();
  std::unique_ptr<Impl> impl_;
};

// The answer for one row.
struct RowResult {
  float score;
  bool alarm;
  const float *errors;  // (channels) squared errors of the scaled readings
  const int *ranked;    // (channels) indices by falling error
  Diagnosis diagnosis;  // of the alarm, if there is one
};

// What came of a row.
enum class Push : uint8_t {
  failed,   // see last_error(); the row is not kept
  filling,  // fewer rows than a window have come
  scored,
};

class AnomalyStream;
struct AnomalyStreamDeleter {
  EDGEKIT_RUNTIME_API void operator()(AnomalyStream *stream) const noexcept;
};
using AnomalyStreamPointer = std::unique_ptr<AnomalyStream, AnomalyStreamDeleter>;

class AnomalyPipeline;
struct AnomalyPipelineDeleter {
  EDGEKIT_RUNTIME_API void operator()(AnomalyPipeline *pipeline) const noexcept;
};
using AnomalyPipelinePointer = std::unique_ptr<AnomalyPipeline, AnomalyPipelineDeleter>;

// The task on top of a session.
class EDGEKIT_RUNTIME_API AnomalyPipeline {
 public:
  static AnomalyPipelinePointer make(Session *session) noexcept;

  // A threshold that is set here holds for the streams too.
  AnomalyDetector &detector() noexcept;

  // Scores raw readings (rows, channels): errors (rows, channels), scores (rows), alarms (rows). The first window - 1
  // rows get NaN and no alarm.
  bool detect(const float *readings, int64_t rows, int channels, float *errors, float *scores, bool *alarms) noexcept;

  // A fresh stream; several may run beside each other.
  AnomalyStreamPointer stream() noexcept;

  AnomalyPipeline(const AnomalyPipeline &) = delete;
  AnomalyPipeline &operator=(const AnomalyPipeline &) = delete;

 private:
  friend struct AnomalyPipelineDeleter;
  friend class AnomalyStream;
  struct Impl;
  explicit AnomalyPipeline(std::unique_ptr<Impl> impl) noexcept;
  ~AnomalyPipeline();
  std::unique_ptr<Impl> impl_;
};

// Takes rows as they come and keeps the last window. In steady state it allocates nothing.
class EDGEKIT_RUNTIME_API AnomalyStream {
 public:
  // Takes one raw row. `result` is written when the row is scored.
  Push push(const float *row, int channels, RowResult *result) noexcept;
  // Takes raw rows (count, channels), oldest first, by the largest batches that the bundle has. The answers are those of
  // push(), row by row, to rounding; they go where those of AnomalyPipeline::detect() do, NaN and no alarm for rows that
  // complete no window, and AnomalyDetector ranks a row's errors. If it fails, see last_error(): no row is kept.
  bool push_rows(const float *rows, int64_t count, int channels, float *errors, float *scores, bool *alarms) noexcept;
  // Forgets every row.
  bool reset() noexcept;

  AnomalyStream(const AnomalyStream &) = delete;
  AnomalyStream &operator=(const AnomalyStream &) = delete;

 private:
  friend struct AnomalyStreamDeleter;
  friend class AnomalyPipeline;
  struct Impl;
  explicit AnomalyStream(std::unique_ptr<Impl> impl) noexcept;
  ~AnomalyStream();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_DETECT_ANOMALIES_H
