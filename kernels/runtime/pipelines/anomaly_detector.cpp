// The detector's settings, checked, and what is computed from them without the program.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/json.h"
#include "core/numbers.h"
#include "core/text.h"
#include "edgekit/detect_anomalies.h"

namespace edgekit {
namespace {

constexpr char kGiven[] = "given";

Failure invalid(const std::string &what) {
  return Failure(format("the anomaly detector%s: export it again.", what.c_str()));
}

bool is_finite(const std::vector<float> &numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); });
}

}  // namespace

struct AnomalyDetector::Impl {
  struct Threshold {
    std::string name;
    double value;
  };

  explicit Impl(const char *settings) {
    const Json json = parse_json(settings);
    if (json.is_discarded()) throw invalid("'s settings are not valid");
    const JsonPart fields(json, "the anomaly detector");
    window = fields.integer("window");
    channels = fields.texts("channels");
    const JsonPart scaling = fields.part("scaling");
    low = scaling.floats("low");
    range = scaling.floats("range");
    clip = scaling.floats("clip");
    const JsonPart named = fields.part("thresholds");
    if (!named.value().is_object()) throw fields.wrong("thresholds");
    for (const auto &item : named.value().items()) thresholds.push_back({item.key(), named.number(item.key().c_str())});
    const std::string used = fields.text("threshold");
    channel_thresholds = fields.floats("channel_thresholds");
    const Json graph = fields.part("neighbours").value();
    if (!graph.is_array()) throw fields.wrong("neighbours");
    for (size_t index = 0; index < graph.size(); ++index) {
      const Json row = {{"neighbours", graph[index]}};
      neighbours.push_back(JsonPart(row, fields.file()).integers("neighbours"));
    }
    check();
    threshold = find(used);
    if (threshold == thresholds.size()) throw invalid(" has no threshold " + in_quotes(used));
  }

  void check() const {
    const size_t count = channels.size();
    if (count == 0 || low.size() != count || range.size() != count || channel_thresholds.size() != count ||
        neighbours.size() != count)
      throw invalid(format("'s settings do not fit its %zu channels", count));
    if (clip.size() != 2 || !(clip[0] <= clip[1]) || !is_finite(clip) || !is_finite(low) || !is_finite(range) ||
        *std::min_element(range.begin(), range.end()) <= 0)
      throw invalid("'s scaling is not valid");
    bool valid = window >= 1 && window <= INT32_MAX && count <= INT32_MAX;
    for (const auto &row : neighbours)
      for (const int64_t index : row) valid = valid && index >= 0 && index < static_cast<int64_t>(count);
    if (!valid) throw invalid("'s window or graph is not valid");
  }

  // The number of thresholds, if there is none of this name.
  size_t find(const std::string &name) const {
    size_t index = 0;
    while (index < thresholds.size() && thresholds[index].name != name) ++index;
    return index;
  }

  int64_t window;
  std::vector<std::string> channels;
  std::vector<float> low, range, clip;
  std::vector<Threshold> thresholds;
  size_t threshold = 0;
  std::vector<float> channel_thresholds;
  std::vector<std::vector<int64_t>> neighbours;
};

const char *name_of(Diagnosis diagnosis) noexcept { return diagnosis == Diagnosis::sensor ? "sensor" : "systematic"; }

AnomalyDetectorPointer AnomalyDetector::read(const char *settings) noexcept {
  return guarded([&] { return AnomalyDetectorPointer(new AnomalyDetector(std::make_unique<Impl>(settings))); });
}

AnomalyDetector::AnomalyDetector(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

AnomalyDetector::~AnomalyDetector() = default;

void AnomalyDetectorDeleter::operator()(AnomalyDetector *detector) const noexcept { delete detector; }

int AnomalyDetector::window() const noexcept { return static_cast<int>(impl_->window); }

int AnomalyDetector::channels() const noexcept { return static_cast<int>(impl_->channels.size()); }

const char *AnomalyDetector::channel(int index) const noexcept {
  return impl_->channels[static_cast<size_t>(index)].c_str();
}

int AnomalyDetector::threshold_count() const noexcept { return static_cast<int>(impl_->thresholds.size()); }

const char *AnomalyDetector::threshold_name(int index) const noexcept {
  return impl_->thresholds[static_cast<size_t>(index)].name.c_str();
}

const char *AnomalyDetector::threshold_name() const noexcept {
  return impl_->thresholds[impl_->threshold].name.c_str();
}

double AnomalyDetector::threshold() const noexcept { return impl_->thresholds[impl_->threshold].value; }

bool AnomalyDetector::use_threshold(const char *threshold) noexcept {
  return guarded([&] {
    size_t index = impl_->find(threshold);
    if (index < impl_->thresholds.size()) {
      impl_->threshold = index;
      return true;
    }
    double value;
    if (!to_number(threshold, value)) {
      std::string known;
      for (const auto &other : impl_->thresholds) known += (known.empty() ? "" : ", ") + other.name;
      throw UsageFailure(format("threshold %s is neither a number nor one of %s.", in_quotes(threshold).c_str(),
                                known.c_str()));
    }
    if (!std::isfinite(value) || value <= 0)
      throw UsageFailure(format("threshold %s must be finite and above 0: scores are sums of squares.", threshold));
    index = impl_->find(kGiven);
    if (index == impl_->thresholds.size()) impl_->thresholds.push_back({kGiven, value});
    impl_->thresholds[index].value = value;
    impl_->threshold = index;
    return true;
  });
}

void AnomalyDetector::scale(const float *readings, int64_t rows, float *scaled) const noexcept {
  const size_t count = impl_->channels.size();
  const float *low = impl_->low.data(), *range = impl_->range.data();
  const float least = impl_->clip[0], most = impl_->clip[1];
  for (int64_t row = 0; row < rows; ++row, readings += count, scaled += count)
    for (size_t channel = 0; channel < count; ++channel)
      scaled[channel] = std::clamp((readings[channel] - low[channel]) / range[channel], least, most);
}

void AnomalyDetector::rank(const float *errors, int *ranked) const noexcept {
  std::iota(ranked, ranked + channels(), 0);
  // Equal errors keep their order, and what is no number comes last: an order of all, which needs no stable sort.
  std::sort(ranked, ranked + channels(), [&](int left, int right) {
    const float a = errors[left], b = errors[right];
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) != std::isnan(b) ? std::isnan(b) : left < right;
    return a != b ? a > b : left < right;
  });
}

Diagnosis AnomalyDetector::diagnosis(const float *errors) const noexcept {
  const auto worst = static_cast<size_t>(std::max_element(errors, errors + channels()) - errors);
  for (const int64_t near : impl_->neighbours[worst])
    if (static_cast<size_t>(near) != worst && errors[near] > impl_->channel_thresholds[static_cast<size_t>(near)])
      return Diagnosis::systematic;
  return Diagnosis::sensor;
}

}  // namespace edgekit
