// Features: names and calibrated amounts.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/failure.h"
#include "core/text.h"
#include "edgekit/explain.h"
#include "features_file.h"

namespace edgekit {
namespace {

using Amounts = std::vector<Amount>;

// A number from 0 that is all of a text; -1 where it is none, or a large one.
int64_t number_of(std::string_view text) {
  if (text.empty() || text.size() > 9) return -1;
  int64_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return -1;
    number = 10 * number + (digit - '0');
  }
  return number;
}

double root_of(double kl) { return std::sqrt(std::abs(kl)); }

// Between 0 and the amounts of its sign; NaN where it is beyond them. For small changes KL grows with alpha's square: on
// straight lines between the amounts' roots.
double alpha_of(const Amounts &amounts, double kl) {
  if (kl == 0) return 0;
  Amount low = {0, 0};
  double alpha = std::nan("");
  const auto reaches = [&](const Amount &high) {
    if ((high.kl > 0) != (kl > 0)) return false;
    if (std::abs(high.kl) >= std::abs(kl)) {
      const double below = root_of(low.kl);
      alpha = low.alpha + (high.alpha - low.alpha) * (root_of(kl) - below) / (root_of(high.kl) - below);
      return true;
    }
    low = high;
    return false;
  };
  // From 0 on: upwards, or downwards.
  if (kl > 0) {
    std::any_of(amounts.begin(), amounts.end(), reaches);
  } else {
    std::any_of(amounts.rbegin(), amounts.rend(), reaches);
  }
  return alpha;
}

}  // namespace

struct Features::Impl {
  explicit Impl(const Session &session) {
    std::optional<ExplainSettings> found = explain_settings(session);
    if (!found)
      throw UsageFailure(format("%s has no features: export it with `--set dictionary=shipped`, or another dictionary.",
                                session.folder()));
    settings = std::move(*found);
    for (const std::vector<FeatureText> &layer : read_features(settings)) {
      for (const FeatureText &feature : layer) {
        labels.push_back(feature.label);
        amounts.push_back(feature.steering);
      }
    }
  }

  bool exists(int index, int64_t feature) const {
    return index >= 0 && static_cast<size_t>(index) < settings.layers.size() && feature >= 0 &&
           feature < settings.features;
  }
  size_t place(int index, int64_t feature) const {
    return static_cast<size_t>(index) * static_cast<size_t>(settings.features) + static_cast<size_t>(feature);
  }

  Steered find(const char *name) const {
    const std::string_view text(name);
    const size_t colon = text.find(':');
    const bool has_layer = colon != std::string_view::npos;
    const int64_t feature = number_of(has_layer ? text.substr(colon + 1) : text);
    const int64_t layer = has_layer ? number_of(text.substr(0, colon)) : settings.layers[0];
    if (feature < 0 || layer < 0)
      throw UsageFailure(format("%s is no feature: give its number, or layer and number such as %lld:0.",
                                in_quotes(text).c_str(),
                                static_cast<long long>(settings.layers[0])));
    if (!has_layer && settings.layers.size() > 1)
      throw UsageFailure(format("feature %s is in several layers: give one of %s too, such as %lld:%s.", name,
                                layers().c_str(), static_cast<long long>(settings.layers[0]), name));
    const auto at = std::find(settings.layers.begin(), settings.layers.end(), layer);
    if (at == settings.layers.end())
      throw UsageFailure(format("feature %s is of a layer without features: there are those of %s.", name,
                                layers().c_str()));
    if (feature >= settings.features)
      throw UsageFailure(format("there is no feature %s: layer %lld has 0 to %lld.", name,
                                static_cast<long long>(layer), static_cast<long long>(settings.features - 1)));
    return {static_cast<int>(at - settings.layers.begin()), feature, {0, 0}, false};
  }

  std::string layers() const {
    std::vector<std::string> names;
    for (const int64_t layer : settings.layers) names.push_back(std::to_string(layer));
    return (names.size() == 1 ? "layer " : "layers ") + listed(names);
  }

  Steered steered(const char *name, double kl) const {
    Steered found = find(name);
    const Amounts &known = amounts[place(found.index, found.feature)];
    if (known.empty() && kl != 0)
      throw UsageFailure(format("feature %s was not calibrated: choose another to steer by.", name));
    found.amount.kl = kl;
    found.amount.alpha = std::isfinite(kl) ? alpha_of(known, kl) : std::nan("");
    if (std::isnan(found.amount.alpha))
      throw UsageFailure(format("feature %s was calibrated for a KL from %g to %g, not %g: give one in between.", name,
                                std::min(0.0, known.empty() ? 0.0 : known.front().kl),
                                std::max(0.0, known.empty() ? 0.0 : known.back().kl), kl));
    return found;
  }

  ExplainSettings settings;
  // By layer and feature.
  std::vector<std::string> labels;
  std::vector<Amounts> amounts;
};

FeaturesPointer Features::open(const Session *session) noexcept {
  return guarded([&] { return FeaturesPointer(new Features(std::make_unique<Impl>(*session))); });
}

Features::Features(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Features::~Features() = default;

void FeaturesDeleter::operator()(Features *features) const noexcept { delete features; }

int Features::layer_count() const noexcept { return static_cast<int>(impl_->settings.layers.size()); }

int64_t Features::layer(int index) const noexcept { return impl_->settings.layers[static_cast<size_t>(index)]; }

int64_t Features::count() const noexcept { return impl_->settings.features; }

int64_t Features::shown() const noexcept { return impl_->settings.shown; }

const char *Features::label(int index, int64_t feature) const noexcept {
  return impl_->exists(index, feature) ? impl_->labels[impl_->place(index, feature)].c_str() : "";
}

const Amount *Features::calibrated(int index, int64_t feature, size_t *count) const noexcept {
  *count = 0;
  if (!impl_->exists(index, feature)) return nullptr;
  const Amounts &known = impl_->amounts[impl_->place(index, feature)];
  *count = known.size();
  return known.empty() ? nullptr : known.data();
}

const Steered *Features::built_in(size_t *count) const noexcept {
  const std::vector<Steered> &all = impl_->settings.built_in;
  *count = all.size();
  return all.empty() ? nullptr : all.data();
}

bool Features::find(const char *name, Steered *found) const noexcept {
  return guarded([&] {
    *found = impl_->find(name);
    return true;
  });
}

bool Features::steer(const char *name, double kl, float *u, Steered *done) const noexcept {
  return guarded([&] {
    const Steered found = impl_->steered(name, kl);
    u[impl_->place(found.index, found.feature)] += static_cast<float>(found.amount.alpha);
    if (done != nullptr) *done = found;
    return true;
  });
}

}  // namespace edgekit
