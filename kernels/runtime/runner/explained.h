// What a text was about, and what it was steered by.
#pragma once

#include <vector>

#include "core/json.h"
#include "edgekit/generate.h"
#include "request.h"

namespace edgekit {

// Turns on what the request wants of the bundle's features; gives those that texts are steered by. Throws UsageFailure
// where there are none such.
std::vector<Steered> use_features(const Session &session, TextGenerator &generator, const Request &request);

//   layers    numbers of those that are tapped
//   tokens    that the program was given: token, text, and for each layer unexplained and features (feature, value, label)
//   steering  layer, feature, label, kl, alpha
Json explanation_json(const TextGenerator &generator, const std::vector<Steered> &steered);

// The same for people.
void print_explanation(const TextGenerator &generator);
void print_steering(const Features &features, const std::vector<Steered> &steered);

}  // namespace edgekit
