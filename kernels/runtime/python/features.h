// Features for Python: names, labels and arrays.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "edgekit/explain.h"
#include "module.h"

namespace edgekit {

// Of a text generator, which outlives it.
class PythonFeatures {
 public:
  explicit PythonFeatures(const Features &features) : features_(&features) {}

  const Features &get() const { return *features_; }
  std::vector<int64_t> layers() const;
  std::vector<std::tuple<double, double>> calibrated(int index, int64_t feature) const;
  std::tuple<int, int64_t> find(nb::bytes name) const;

 private:
  const Features *features_;
};

// (position, tokens, features, values, unexplained): numpy arrays of their own.
nb::tuple explanation_of(const Explanation &why, const Features &features);

}  // namespace edgekit
