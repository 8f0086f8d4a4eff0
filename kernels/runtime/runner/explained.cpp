#include "explained.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/text.h"
#include "output.h"

namespace edgekit {
namespace {

// Columns of a line where stdout is no terminal, of a token, and of a feature's label.
constexpr size_t kWidth = 100, kTokenWidth = 16, kLabelWidth = 24;

// Not negative, to six digits behind the point, where JSON would show all that a float32 has.
double rounded(float number) { return std::floor(1e6 * double{number} + 0.5) / 1e6; }

std::string text_of(const TextGenerator &generator, int64_t token) {
  size_t size = 0;
  if (!generator.tokenizer().decode(&token, 1, nullptr, 0, &size)) fail_as_said();
  std::string text(size, '\0');
  if (!generator.tokenizer().decode(&token, 1, text.data(), size, &size)) fail_as_said();
  return text;
}

// In quotes; its number where it has no text.
std::string shown_token(const TextGenerator &generator, int64_t token) {
  const std::string text = text_of(generator, token);
  return text.empty() ? std::to_string(token) : in_quotes(text);
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

size_t width_of(const std::string &text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

// So many characters at most.
std::string cut(const std::string &text, size_t width) {
  if (width_of(text) <= width) return text;
  size_t end = 0;
  for (size_t characters = 0; end < text.size(); ++end)
    if (begins_character(text[end]) && characters++ == width - 3) break;
  return text.substr(0, end) + "...";
}

std::string in_column(const std::string &text, size_t width) {
  const std::string shown = cut(text, width);
  return shown + std::string(width - width_of(shown), ' ');
}

size_t width_of_line() {
  winsize size = {};
  const bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? std::max<size_t>(size.ws_col, 60) : kWidth;
}

// A label comes from a file: on one line, and nothing that a terminal would obey.
std::string shown_label(const Features &features, int index, int64_t feature) {
  std::string shown = features.label(index, feature);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return shown;
}

// What one layer says of one token.
struct Row {
  const Features &features;
  const Explanation &why;
  size_t place;  // among rows of tokens and layers
  int index;

  double unexplained() const { return rounded(why.unexplained[place]); }
  // Takes feature and value of those that the token has.
  template <typename Take>
  void each(const Take &take) const {
    const size_t shown = static_cast<size_t>(features.shown());
    for (size_t at = place * shown; at < (place + 1) * shown; ++at)
      if (why.values[at] > 0) take(why.features[at], rounded(why.values[at]));
  }
};

// As many as there is room for, one at least: "1.30 12 Monday, Tuesday; 0.80 3 of, in; 2 more".
std::string shown_features(const Row &row, size_t width) {
  std::vector<std::string> each;
  row.each([&](int64_t feature, double value) {
    each.push_back(format("%.3g %lld %s", value, static_cast<long long>(feature),
                          cut(shown_label(row.features, row.index, feature), kLabelWidth).c_str()));
  });
  if (each.empty()) return "none";
  for (size_t count = each.size(); true; --count) {
    std::string text = each[0];
    for (size_t place = 1; place < count; ++place) text += "; " + each[place];
    if (count < each.size()) text += format("; %zu more", each.size() - count);
    if (count == 1 || width_of(text) <= width) return text;
  }
}

Json layers_json(const Features &features, const Explanation &why, size_t token) {
  Json layers = Json::array();
  for (int index = 0; index < features.layer_count(); ++index) {
    const Row row{features, why, token * static_cast<size_t>(features.layer_count()) + static_cast<size_t>(index), index};
    Json found = Json::array();
    row.each([&](int64_t feature, double value) {
      found.push_back({{"feature", feature}, {"value", value}, {"label", features.label(index, feature)}});
    });
    layers.push_back({{"unexplained", row.unexplained()}, {"features", std::move(found)}});
  }
  return layers;
}

}  // namespace

std::vector<Steered> use_features(const Session &session, TextGenerator &generator, const Request &request) {
  const Features *features = generator.features();
  std::vector<Steered> steered;
  if (features != nullptr) {
    size_t count = 0;
    const Steered *built_in = features->built_in(&count);
    steered.assign(built_in, built_in + count);
  }
  if (!request.explain && request.steer.empty()) return steered;
  if (features == nullptr) {
    Features::open(&session);  // says why there are none
    fail_as_said();
  }
  std::vector<float> u(static_cast<size_t>(features->layer_count()) * static_cast<size_t>(features->count()));
  for (const auto &[name, kl] : request.steer) {
    Steered found;
    if (!features->steer(name.c_str(), kl, u.data(), &found)) fail_as_said();
    for (const Steered &other : steered)
      if (!other.built_in && other.index == found.index && other.feature == found.feature)
        throw UsageFailure(format("--steer has feature %s twice: give it once.", name.c_str()));
    steered.push_back(found);
  }
  if (!generator.steer(u.data()) || !generator.explain(request.explain)) fail_as_said();
  return steered;
}

Json explanation_json(const TextGenerator &generator, const std::vector<Steered> &steered) {
  const Features &features = *generator.features();
  const Explanation why = generator.explanation();
  Json layers = Json::array(), tokens = Json::array(), steering = Json::array();
  for (int index = 0; index < features.layer_count(); ++index) layers.push_back(features.layer(index));
  for (size_t token = 0; token < static_cast<size_t>(why.count); ++token)
    tokens.push_back({{"token", why.tokens[token]},
                      {"text", text_of(generator, why.tokens[token])},
                      {"layers", layers_json(features, why, token)}});
  for (const Steered &one : steered) {
    steering.push_back({{"layer", features.layer(one.index)},
                        {"feature", one.feature},
                        {"label", features.label(one.index, one.feature)},
                        {"kl", one.amount.kl},
                        {"alpha", one.amount.alpha}});
    if (one.built_in) steering.back()["built_in"] = true;
  }
  return {{"layers", std::move(layers)}, {"tokens", std::move(tokens)}, {"steering", std::move(steering)}};
}

void print_explanation(const TextGenerator &generator) {
  const Features &features = *generator.features();
  const Explanation why = generator.explanation();
  const int64_t prompt = generator.generation().prompt_tokens;
  const size_t width = width_of_line();
  std::printf("\n%s layer  unexplained  features, the strongest first: value, number, label\n",
              in_column("token", kTokenWidth).c_str());
  size_t place = 0;
  for (int64_t token = 0; token < why.count; ++token) {
    if (token == prompt) std::printf("- generated %s\n", std::string(width - 12, '-').c_str());
    std::string name = shown_token(generator, why.tokens[token]);
    for (int index = 0; index < features.layer_count(); ++index) {
      const Row row{features, why, place++, index};
      const std::string head = format("%s %5lld %10.0f %%  ", in_column(name, kTokenWidth).c_str(),
                                      static_cast<long long>(features.layer(index)), 100 * row.unexplained());
      std::printf("%s%s\n", head.c_str(), shown_features(row, width - std::min(width, width_of(head))).c_str());
      name.clear();
    }
  }
}

void print_steering(const Features &features, const std::vector<Steered> &steered) {
  std::printf("\n");
  for (const Steered &one : steered)
    std::printf("%s: %lld:%lld (%s) by KL %g (alpha %.3g)\n", one.built_in ? "steered for good" : "steered", static_cast<long long>(features.layer(one.index)),
                static_cast<long long>(one.feature), shown_label(features, one.index, one.feature).c_str(), one.amount.kl,
                one.amount.alpha);
}

}  // namespace edgekit
