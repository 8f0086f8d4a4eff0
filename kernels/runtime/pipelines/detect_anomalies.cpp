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
  void reconstruct(const Batch &batch, float *windows, float *newest) {
    const int64_t from[] = {batch.size, static_cast<int64_t>(channels), static_cast<int64_t>(window)};
    const int64_t to[] = {batch.size, static_cast<int64_t>(channels)};
    const Tensor input{windows, DType::float32, 3, from}, output{newest, DType::float32, 2, to};
    if (session.run(batch.method, &input, 1, &output, 1)) return;
    const std::string reason = last_error();
    if (last_error_is_usage()) throw UsageFailure(reason);
    throw Failure(reason);
  }

  void detect(const float *readings, int64_t rows, float *errors, float *scores, bool *alarms) {
    const int64_t first = static_cast<int64_t>(window) - 1, most = batches.front().size;
    const auto size = static_cast<size_t>(most);
    std::vector<float> scaled((size + window - 1) * channels), windows(size * channels * window);
    std::vector<float> newest(size * channels);
    for (int64_t start = 0; start < rows - first;) {
      const Batch &batch = pick(rows - first - start);
      // Where no batch is small enough, the last window fills it up.
      const int64_t taken = std::min(batch.size, rows - first - start);
      detector->scale(readings + static_cast<size_t>(start) * channels, taken + first, scaled.data());
      for (size_t place = 0; place < static_cast<size_t>(batch.size); ++place)
        fill_window(scaled.data() + std::min(place, static_cast<size_t>(taken) - 1) * channels,
                    windows.data() + place * channels * window);
      reconstruct(batch, windows.data(), newest.data());
      const size_t offset = static_cast<size_t>(start + first) * channels;
      for (size_t index = 0; index < static_cast<size_t>(taken) * channels; ++index)
        errors[offset + index] = squared(newest[index] - scaled[static_cast<size_t>(first) * channels + index]);
      start += taken;
    }
    const float none = std::numeric_limits<float>::quiet_NaN();
    std::fill_n(errors, static_cast<size_t>(first) * channels, none);
    for (int64_t row = 0; row < rows; ++row) {
      scores[row] = row < first ? none : sum(errors + static_cast<size_t>(row) * channels, channels);
      alarms[row] = scores[row] > detector->threshold();  // false for NaN
    }
  }

  // Rows (window, channels) to (channels, window).
  void fill_window(const float *rows, float *to) const {
    for (size_t channel = 0; channel < channels; ++channel)
      for (size_t row = 0; row < window; ++row) *to++ = rows[row * channels + channel];
  }

  Session &session;
  AnomalyDetectorPointer detector;
  size_t channels = 0, window = 0;
  // By falling size.
  std::vector<Batch> batches;
  std::vector<const char *> names;
};

struct AnomalyStream::Impl {
  explicit Impl(AnomalyPipeline::Impl &owner)
      : pipeline(owner),
        batch(owner.pick(1)),
        ring(owner.channels * 2 * owner.window),
        windows(static_cast<size_t>(batch.size) * owner.channels * owner.window),
        newest(static_cast<size_t>(batch.size) * owner.channels),
        scaled(owner.channels),
        errors(owner.channels),
        ranked(owner.channels) {}

  Push push(const float *row, int given, RowResult *result) {
    const size_t channels = pipeline.channels, window = pipeline.window;
    const AnomalyDetector &detector = *pipeline.detector;
    if (static_cast<size_t>(given) != channels)
      throw Failure(format("a row has shape (%d,), %zu channels are needed.", given, channels));
    for (size_t channel = 0; channel < channels; ++channel)
      if (!std::isfinite(row[channel]))
        throw Failure(format("a row's %s is missing or not finite: fill it or leave the row out.",
                             in_quotes(pipeline.names[channel]).c_str()));
    detector.scale(row, 1, scaled.data());
    // Each row is written twice, so that the newest ones always lie in one piece. The slot's old row is out of every
    // later window: the program may fail below, and the row come again.
    const size_t slot = static_cast<size_t>(rows % static_cast<int64_t>(window));
    for (size_t channel = 0; channel < channels; ++channel) {
      float *line = ring.data() + channel * 2 * window;
      line[slot] = line[slot + window] = scaled[channel];
    }
    if (rows + 1 >= static_cast<int64_t>(window)) score(slot, result);
    ++rows;
    return rows < static_cast<int64_t>(window) ? Push::filling : Push::scored;
  }

  void score(size_t slot, RowResult *result) {
    const size_t channels = pipeline.channels, window = pipeline.window;
    const AnomalyDetector &detector = *pipeline.detector;
    float *to = windows.data();
    for (int64_t copy = 0; copy < batch.size; ++copy)
      for (size_t channel = 0; channel < channels; ++channel, to += window)
        std::copy_n(ring.data() + channel * 2 * window + slot + 1, window, to);
    pipeline.reconstruct(batch, windows.data(), newest.data());
    for (size_t channel = 0; channel < channels; ++channel)
      errors[channel] = squared(newest[channel] - scaled[channel]);
    detector.rank(errors.data(), ranked.data());
    const float score = sum(errors.data(), channels);
    *result = {score, score > detector.threshold(), errors.data(), ranked.data(), detector.diagnosis(errors.data())};
  }

  AnomalyPipeline::Impl &pipeline;
  const Batch batch;
  std::vector<float> ring, windows, newest, scaled, errors;
  std::vector<int> ranked;
  int64_t rows = 0;
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
    if (!check_values(readings, rows, impl_->names.data(), channels, "the series")) throw Failure(last_error());
    impl_->detect(readings, rows, errors, scores, alarms);
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

bool AnomalyStream::reset() noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    impl_->rows = 0;
    return true;
  });
}

}  // namespace edgekit
