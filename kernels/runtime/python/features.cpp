#include "features.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <initializer_list>
#include <memory>

namespace edgekit {
namespace {

using Amounts = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// A numpy array with a copy of the numbers.
template <typename T>
nb::object array_of(const T *numbers, std::initializer_list<size_t> shape) {
  size_t count = 1;
  for (const size_t size : shape) count *= size;
  auto copy = std::make_unique<T[]>(count);
  std::copy_n(numbers, count, copy.get());
  T *data = copy.get();
  const nb::capsule owner(copy.release(), [](void *memory) noexcept { delete[] static_cast<T *>(memory); });
  return nb::cast(nb::ndarray<nb::numpy, T>(data, shape, owner));
}

std::tuple<int, int64_t, double> steer(const PythonFeatures &self, nb::bytes name, double kl, Amounts u) {
  const Features &features = self.get();
  if (u.size() != static_cast<size_t>(features.layer_count() * features.count()))
    throw nb::value_error("the array has another size than the features");
  Steered done;
  if (!features.steer(name.c_str(), kl, u.data(), &done)) raise_last_error();
  return {done.index, done.feature, done.amount.alpha};
}

}  // namespace

std::vector<int64_t> PythonFeatures::layers() const {
  std::vector<int64_t> found;
  for (int index = 0; index < features_->layer_count(); ++index) found.push_back(features_->layer(index));
  return found;
}

std::vector<std::tuple<double, double>> PythonFeatures::calibrated(int index, int64_t feature) const {
  size_t count = 0;
  const Amount *amounts = features_->calibrated(index, feature, &count);
  std::vector<std::tuple<double, double>> found;
  for (size_t place = 0; place < count; ++place) found.emplace_back(amounts[place].kl, amounts[place].alpha);
  return found;
}

std::tuple<int, int64_t> PythonFeatures::find(nb::bytes name) const {
  Steered found;
  if (!features_->find(name.c_str(), &found)) raise_last_error();
  return {found.index, found.feature};
}

nb::tuple explanation_of(const Explanation &why, const Features &features) {
  const size_t tokens = static_cast<size_t>(why.count), layers = static_cast<size_t>(features.layer_count());
  const size_t shown = static_cast<size_t>(features.shown());
  return nb::make_tuple(why.position, array_of(why.tokens, {tokens}), array_of(why.features, {tokens, layers, shown}),
                        array_of(why.values, {tokens, layers, shown}), array_of(why.unexplained, {tokens, layers}));
}

void bind_features(nb::module_ &module) {
  nb::class_<PythonFeatures>(module, "Features")
      .def_prop_ro("layers", &PythonFeatures::layers)
      .def_prop_ro("count", [](const PythonFeatures &self) { return self.get().count(); })
      .def_prop_ro("shown", [](const PythonFeatures &self) { return self.get().shown(); })
      .def("label", [](const PythonFeatures &self, int index,
                       int64_t feature) { return std::string(self.get().label(index, feature)); })
      .def("calibrated", &PythonFeatures::calibrated)
      .def("built_in",
           [](const PythonFeatures &self) {
             size_t count = 0;
             const Steered *all = self.get().built_in(&count);
             std::vector<std::tuple<int, int64_t, double, double>> found;
             for (size_t place = 0; place < count; ++place)
               found.emplace_back(all[place].index, all[place].feature, all[place].amount.kl, all[place].amount.alpha);
             return found;
           })
      .def("find", &PythonFeatures::find)
      .def("steer", &steer, nb::arg("name"), nb::arg("kl"), nb::arg("u").noconvert());
}

}  // namespace edgekit
