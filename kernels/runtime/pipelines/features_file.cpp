#include "features_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/files.h"
#include "core/json.h"

namespace edgekit {
namespace {

constexpr int64_t kSchema = 1;
constexpr uint64_t kLargestFile = 64 << 20;
constexpr size_t kMostLayers = 64;
constexpr int64_t kMostFeatures = 4096;
constexpr size_t kMostAmounts = 64;
constexpr float kLargest = std::numeric_limits<float>::max();

constexpr int kDeepest = 32;

// What is kept of a file while it is parsed: the keys that are read, and no more values than the manifest lets expect.
// Others may be there, and take no memory.
class Filter {
 public:
  explicit Filter(const ExplainSettings &settings)
      : file_(settings.file),
        // Of each feature an object, a label, a list, and its amounts of two numbers.
        left_(8 + settings.layers.size() * (4 + static_cast<size_t>(settings.features) * (4 + 3 * kMostAmounts))) {}

  bool keeps(int depth, Json::parse_event_t event, const Json &value) {
    if (depth > kDeepest) throw damaged(file_);
    // Behind a key that is not read comes its value, as deep as the key or deeper.
    if (dropped_ >= 0 && (depth > dropped_ || (depth == dropped_ && event != Json::parse_event_t::key))) return false;
    dropped_ = -1;
    switch (event) {
      case Json::parse_event_t::key:
        if (!is_read(depth, value.get_ref<const std::string &>())) dropped_ = depth;
        return dropped_ < 0;
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
      case Json::parse_event_t::value:
        if (left_-- == 0)
          throw Failure(format("%s has more in it than its manifest says: export the bundle again.", file_.c_str()));
        return true;
      default: return true;
    }
  }

  static Failure damaged(const std::string &file) {
    return Failure(format("%s is damaged: copy the bundle again.", file.c_str()));
  }

 private:
  // By how deep a key lies: of the file, of a layer and of a feature.
  static bool is_read(int depth, const std::string &key) {
    switch (depth) {
      case 1: return key == "schema" || key == "layers";
      case 3: return key == "layer" || key == "features";
      case 5: return key == "label" || key == "steering";
      default: return false;
    }
  }

  const std::string &file_;
  size_t left_;
  int dropped_ = -1;  // how deep the key lies whose value is passed over
};

Json parse(const std::string &text, const ExplainSettings &settings) {
  Filter filter(settings);
  Json fields = Json::parse(
      text, [&](int depth, Json::parse_event_t event, Json &value) { return filter.keeps(depth, event, value); }, false);
  if (fields.is_discarded()) throw Filter::damaged(settings.file);
  return fields;
}

Amount amount_of(const JsonPart &feature, const Json &value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number())
    throw feature.wrong("steering");
  const double kl = value[0].get<double>(), alpha = value[1].get<double>();
  const bool fits = std::abs(kl) <= double{kLargest} && std::abs(alpha) <= double{kLargest};
  if (!fits || !(kl > 0 ? alpha > 0 : kl < 0 && alpha < 0)) throw feature.wrong("steering");
  return {kl, alpha};
}

FeatureText feature_text(const JsonPart &feature) {
  FeatureText text{feature.text("label"), {}};
  for (const JsonPart &part : feature.parts("steering")) text.steering.push_back(amount_of(feature, part.value()));
  if (text.steering.size() > kMostAmounts) throw feature.wrong("steering");
  std::sort(text.steering.begin(), text.steering.end(),
            [](const Amount &one, const Amount &other) { return one.kl < other.kl; });
  for (size_t place = 1; place < text.steering.size(); ++place)
    if (text.steering[place].kl == text.steering[place - 1].kl) throw feature.wrong("steering");
  return text;
}

}  // namespace

std::optional<ExplainSettings> explain_settings(const Session &session) {
  const std::string folder = session.folder();
  const Json fields = Json::parse(session.manifest(), nullptr, false);
  const JsonPart manifest(fields, folder + "/manifest.json");
  const JsonPart pipeline = manifest.part("pipeline");
  if (!pipeline.has("explain")) return std::nullopt;
  const JsonPart explain = pipeline.part("explain");
  ExplainSettings settings{explain.integers("layers"), explain.integer("features", 1), explain.integer("shown", 1),
                           folder + "/" + explain.text("file"), {}};
  const std::vector<int64_t> &layers = settings.layers;
  if (layers.empty() || layers.size() > kMostLayers || layers[0] < 1) throw explain.wrong("layers");
  for (size_t place = 1; place < layers.size(); ++place)
    if (layers[place] <= layers[place - 1]) throw explain.wrong("layers");
  if (settings.features > kMostFeatures) throw explain.wrong("features");
  if (settings.shown > settings.features) throw explain.wrong("shown");
  // What the manifest lists lies inside the bundle.
  if (!manifest.part("files").has(explain.text("file").c_str())) throw explain.wrong("file");
  if (!explain.has("steering")) return settings;
  for (const JsonPart &one : explain.parts("steering")) {
    const auto layer = std::find(layers.begin(), layers.end(), one.integer("layer"));
    if (layer == layers.end()) throw one.wrong("layer");
    const int64_t feature = one.integer("feature", 0);
    if (feature >= settings.features) throw one.wrong("feature");
    settings.built_in.push_back(
        {static_cast<int>(layer - layers.begin()), feature, {one.number("kl"), one.number("alpha")}, true});
  }
  return settings;
}

std::vector<std::vector<FeatureText>> read_features(const ExplainSettings &settings) {
  if (!is_file(settings.file)) throw Failure(format("%s is missing: copy the bundle again.", settings.file.c_str()));
  const Json fields = parse(read_file(settings.file, kLargestFile), settings);
  const JsonPart file(fields, settings.file);
  if (const int64_t schema = file.integer("schema"); schema != kSchema)
    throw Failure(format("%s has schema %lld, this edgekit %s reads %lld: install the edgekit that made it, or export the "
                         "bundle again.",
                         settings.file.c_str(), static_cast<long long>(schema), runtime_version(),
                         static_cast<long long>(kSchema)));
  std::vector<std::vector<FeatureText>> found;
  for (const JsonPart &layer : file.parts("layers")) {
    const size_t index = found.size();
    if (index == settings.layers.size() || layer.integer("layer") != settings.layers[index]) throw file.wrong("layers");
    found.emplace_back();
    for (const JsonPart &feature : layer.parts("features")) found.back().push_back(feature_text(feature));
    if (found.back().size() != static_cast<size_t>(settings.features))
      throw Failure(format("%s has %zu features of layer %lld, its manifest says %lld: export the bundle again.",
                           settings.file.c_str(), found.back().size(), static_cast<long long>(settings.layers[index]),
                           static_cast<long long>(settings.features)));
  }
  if (found.size() != settings.layers.size()) throw file.wrong("layers");
  return found;
}

}  // namespace edgekit
