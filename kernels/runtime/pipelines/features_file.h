// What a bundle says of its features: the manifest's `pipeline.explain`, and the file that it names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgekit/explain.h"

namespace edgekit {

// `pipeline.explain`.
struct ExplainSettings {
  std::vector<int64_t> layers;  // from 1, rising
  int64_t features;             // of each layer
  int64_t shown;                // of a token
  std::string file;             // its path
  std::vector<Steered> built_in;
};

struct FeatureText {
  std::string label;
  std::vector<Amount> steering;  // by rising KL
};

// Nothing where the manifest has none. Throws Failure where a field is wrong.
std::optional<ExplainSettings> explain_settings(const Session &session);

// Features by layer. Throws Failure where the file is damaged, or not what the settings say.
std::vector<std::vector<FeatureText>> read_features(const ExplainSettings &settings);

}  // namespace edgekit
