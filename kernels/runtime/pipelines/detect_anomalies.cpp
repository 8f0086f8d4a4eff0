// Windows through the program, in the batches that it has; whole series, and one row at a time.

#include "edgekit/detect_anomalies.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/json.h"
#include "core/text.h"
#include "core/turn.h"
#include "edgekit/series.h"

namespace edgekit {
namespace {

constexpr char kTask[] = "detect_anomalies";
constexpr char kSessionTaken[] = "this session is in use by another thread: open a session for each, or take turns.";
constexpr char kTaken[] = "this stream is in use by another thread: make a stream for each, or take turns.";

float squared(float number) { return number * number; }

// In float64: a score does not depend on the order of the channels as far as float32 shows.
float sum(const float *errors, size_t count) {
  double total = 0;
  for (size_t index = 0; index < count; ++index) total += errors[index];
  return static_cast<float>(total);
}

// A method that takes this many windows.
struct Batch {
  const char *method;
  int64_t size;
};

// The newest rows of a series, scaled: the window - 1 that every later window may need, and those of one run behind them.
class History {
 public:
  // Takes up to `most` rows at a time.
  History(size_t channels, size_t window, size_t most)
      : channels_(channels), window_(window), stride_(window - 1 + most), lines_(channels * stride_) {}

  // Rows that are kept: window - 1 at most.
  size_t held() const { return held_; }

  // Puts rows (count, channels) behind those that are kept, in place of any that were appended since.
  void append(const float *rows, size_t count) {
    for (size_t channel = 0; channel < channels_; ++channel) {
      float *line = lines_.data() + channel * stride_ + held_;
      for (size_t row = 0; row < count; ++row) line[row] = rows[row * channels_ + channel];
    }
  }

  // The window (channels, window) that begins with this row.
  void copy_window(size_t first, float *to) const {
    const float *line = lines_.data() + first;
    for (size_t channel = 0; channel < channels_; ++channel, line += stride_, to += window_)
      std::copy_n(line, window_, to);
  }

  // Keeps the newest rows, with the `count` that were appended.
  void keep(size_t count) {
    const size_t all = held_ + count, least = std::min(all, window_ - 1), gone = all - least;
    for (size_t channel = 0; gone > 0 && channel < channels_; ++channel) {
      float *line = lines_.data() + channel * stride_;
      std::copy(line + gone, line + all, line);
    }
    held_ = least;
  }

  // The rows of a history of the same size; nothing is allocated.
  void assign(const History &other) {
    std::copy(other.lines_.begin(), other.lines_.end(), lines_.begin());
    held_ = other.held_;
  }

  void clear() { held_ = 0; }

 private:
  size_t channels_, window_, stride_, held_ = 0;
  // A line a channel: a window's part of it lies in one piece.
  std::vector<float> lines_;
};

}  // namespace

struct AnomalyPipeline::Impl {
  explicit Impl(Session *given) : session(*given) {
    if (std::strcmp(session.task(), kTask) != 0)
      throw UsageFailure(format("%s is a bundle for the task %s, not '%s'.", session.folder(),
                                in_quotes(session.task()).c_str(), kTask));
    const Json manifest = Json::parse(session.manifest());
    detector = AnomalyDetector::read(manifest["pipeline"].dump().c_str());
    if (!detector) throw Failure(last_error());
    channels = static_cast<size_t>(detector->channels());
    window = static_cast<size_t>(detector->window());
    for (int index = 0; index < session.method_count(); ++index) batches.push_back(batch_of(session.method(index)));
    std::sort(batches.begin(), batches.end(), [](const Batch &a, const Batch &b) { return a.size > b.size; });
    for (size_t index = 0; index < channels; ++index) names.push_back(detector->channel(static_cast<int>(index)));
    const auto most = static_cast<size_t>(batches.front().size);
    scaled.resize(most * channels);
    windows.resize(most * channels * window);
    newest.resize(most * channels);
  }

  Batch batch_of(const MethodSpec &method) const {
    const int64_t rows = static_cast<int64_t>(window), count = static_cast<int64_t>(channels);
    const bool pair = method.input_count == 1 && method.output_count == 1;
    const TensorSpec *input = method.inputs, *output = method.outputs;
    if (!pair || input->dtype != DType::float32 || output->dtype != DType::float32 || input->rank != 3 ||
        output->rank != 2 || input->shape[0] < 1 || input->shape[1] != count || input->shape[2] != rows ||
        output->shape[0] != input->shape[0] || output->shape[1] != count ||
        input->shape[0] > std::numeric_limits<int32_t>::max() / count / rows)
      throw Failure(format("method '%s' of %s does not reconstruct windows of %lld channels and %lld rows: export it "
                           "again.",
                           method.name, session.folder(), static_cast<long long>(count),
                           static_cast<long long>(rows)));
    return {method.name, input->shape[0]};
  }

  // The largest batch that is full, else the smallest.
  const Batch &pick(int64_t windows) const {
    for (const Batch &batch : batches)
      if (batch.size <= windows) return batch;
    return batches.back();
  }

  // Windows (size, channels, window) to the newest rows (size, channels).
  void reconstruct(const Batch &batch) {
    const int64_t from[] = {batch.size, static_cast<int64_t>(channels), static_cast<int64_t>(window)};
    const int64_t to[] = {batch.size, static_cast<int64_t>(channels)};
    const Tensor input{windows.data(), DType::float32, 3, from}, output{newest.data(), DType::float32, 2, to};
    if (session.run(batch.method, &input, 1, &output, 1)) return;
    const std::string reason = last_error();
    if (last_error_is_usage()) throw UsageFailure(reason);
    throw Failure(reason);
  }

  // Takes raw rows (count, channels) into a history: errors (count, channels) and scores (count), NaN for rows that
  // complete no window. What one run of the program scores is kept when the run is done.
  void take(History &history, const float *rows, int64_t count, float *errors, float *scores) {
    const Turn turn(busy, kSessionTaken);
    const float none = std::numeric_limits<float>::quiet_NaN();
    while (count > 0) {
      const auto missing = static_cast<int64_t>(window - 1 - history.held());
      const Batch &batch = pick(count);
      const int64_t taken = std::min({count, missing > 0 ? missing : batch.size, batches.front().size});
      const auto size = static_cast<size_t>(taken) * channels;
      detector->scale(rows, taken, scaled.data());
      history.append(scaled.data(), static_cast<size_t>(taken));
      if (missing > 0) {
        std::fill_n(errors, size, none);
        std::fill_n(scores, taken, none);
      } else {
        // Where no batch is small enough, the last window fills it up.
        for (int64_t place = 0; place < batch.size; ++place)
          history.copy_window(static_cast<size_t>(std::min(place, taken - 1)),
                              windows.data() + static_cast<size_t>(place) * channels * window);
        reconstruct(batch);
        for (size_t index = 0; index < size; ++index) errors[index] = squared(newest[index] - scaled[index]);
        for (int64_t row = 0; row < taken; ++row)
          scores[row] = sum(errors + static_cast<size_t>(row) * channels, channels);
      }
      history.keep(static_cast<size_t>(taken));
      count -= taken;
      rows += size, errors += size, scores += taken;
    }
  }

  // For NaN, false.
  void alarm(const float *scores, int64_t rows, bool *alarms) const {
    for (int64_t row = 0; row < rows; ++row) alarms[row] = scores[row] > detector->threshold();
  }

  void must_be_finite(const float *values, int64_t rows, const char *origin) const {
    if (!check_values(values, rows, names.data(), static_cast<int>(channels), origin)) throw Failure(last_error());
  }

  History history() const { return History(channels, window, static_cast<size_t>(batches.front().size)); }

  Session &session;
  AnomalyDetectorPointer detector;
  size_t channels = 0, window = 0;
  // By falling size.
  std::vector<Batch> batches;
  std::vector<const char *> names;
  // Of one run of the program, for all streams: rows, windows, and what the program makes of them.
  std::vector<float> scaled, windows, newest;
  std::atomic<bool> busy{false};
};

struct AnomalyStream::Impl {
  explicit Impl(AnomalyPipeline::Impl &owner)
      : pipeline(owner), history(owner.history()), kept(owner.history()), errors(owner.channels), ranked(owner.channels) {}

  Push push(const float *row, int given, RowResult *result) {
    const size_t channels = pipeline.channels;
    const AnomalyDetector &detector = *pipeline.detector;
    if (static_cast<size_t>(given) != channels)
      throw Failure(format("a row has shape (%d,), %zu channels are needed.", given, channels));
    for (size_t channel = 0; channel < channels; ++channel)
      if (!std::isfinite(row[channel]))
        throw Failure(format("a row's %s is missing or not finite: fill it or leave the row out.",
                             in_quotes(pipeline.names[channel]).c_str()));
    const bool filling = history.held() + 1 < pipeline.window;
    float score;
    pipeline.take(history, row, 1, errors.data(), &score);
    if (filling) return Push::filling;
    detector.rank(errors.data(), ranked.data());
    *result = {score, score > detector.threshold(), errors.data(), ranked.data(), detector.diagnosis(errors.data())};
    return Push::scored;
  }

  void push_rows(const float *rows, int64_t count, int given, float *to_errors, float *scores, bool *alarms) {
    if (static_cast<size_t>(given) != pipeline.channels)
      throw Failure(format("the rows have shape (%lld, %d), %zu channels are needed.", static_cast<long long>(count),
                           given, pipeline.channels));
    if (count < 0) throw UsageFailure(format("%lld rows: give 0 or more.", static_cast<long long>(count)));
    if (count > 0) pipeline.must_be_finite(rows, count, "the rows");
    // More than one run may be needed, of which any may fail.
    const bool several = count > 1;
    if (several) kept.assign(history);
    try {
      pipeline.take(history, rows, count, to_errors, scores);
    } catch (...) {
      if (several) history.assign(kept);
      throw;
    }
    pipeline.alarm(scores, count, alarms);
  }

  AnomalyPipeline::Impl &pipeline;
  History history, kept;
  std::vector<float> errors;
  std::vector<int> ranked;
  std::atomic<bool> busy{false};
};

AnomalyPipelinePointer AnomalyPipeline::make(Session *session) noexcept {
  return guarded([&] { return AnomalyPipelinePointer(new AnomalyPipeline(std::make_unique<Impl>(session))); });
}

AnomalyPipeline::AnomalyPipeline(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

AnomalyPipeline::~AnomalyPipeline() = default;

void AnomalyPipelineDeleter::operator()(AnomalyPipeline *pipeline) const noexcept { delete pipeline; }

AnomalyDetector &AnomalyPipeline::detector() noexcept { return *impl_->detector; }

bool AnomalyPipeline::detect(const float *readings, int64_t rows, int channels, float *errors, float *scores,
                             bool *alarms) noexcept {
  return guarded([&] {
    if (static_cast<size_t>(channels) != impl_->channels)
      throw Failure(format("the series has shape (%lld, %d), %zu channels are needed.", static_cast<long long>(rows),
                           channels, impl_->channels));
    if (rows < static_cast<int64_t>(impl_->window))
      throw Failure(format("the series has %lld rows, at least %zu are needed for one window.",
                           static_cast<long long>(rows), impl_->window));
    impl_->must_be_finite(readings, rows, "the series");
    History history = impl_->history();
    impl_->take(history, readings, rows, errors, scores);
    impl_->alarm(scores, rows, alarms);
    return true;
  });
}

AnomalyStreamPointer AnomalyPipeline::stream() noexcept {
  return guarded([&] {
    return AnomalyStreamPointer(new AnomalyStream(std::make_unique<AnomalyStream::Impl>(*impl_)));
  });
}

AnomalyStream::AnomalyStream(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

AnomalyStream::~AnomalyStream() = default;

void AnomalyStreamDeleter::operator()(AnomalyStream *stream) const noexcept { delete stream; }

Push AnomalyStream::push(const float *row, int channels, RowResult *result) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    return impl_->push(row, channels, result);
  });
}

bool AnomalyStream::push_rows(const float *rows, int64_t count, int channels, float *errors, float *scores,
                              bool *alarms) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    impl_->push_rows(rows, count, channels, errors, scores, alarms);
    return true;
  });
}

bool AnomalyStream::reset() noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    impl_->history.clear();
    return true;
  });
}

}  // namespace edgekit
