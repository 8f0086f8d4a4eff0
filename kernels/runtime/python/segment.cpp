// The task `segment` for Python.

#include "edgekit/segment.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <optional>
#include <tuple>

#include "module.h"

namespace edgekit {
namespace {

using Gray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Size = std::tuple<int, int>;
using Box = std::tuple<int, int, int, int>;
// (centroid, box, area, peak, peak_at)
using Object = std::tuple<std::tuple<double, double>, Box, int64_t, double, Size>;

ImageSize size_of_array(const Gray &image) {
  return {static_cast<int>(image.shape(0)), static_cast<int>(image.shape(1))};
}

std::vector<Object> objects_of(const SegmentedObject *objects, size_t count) {
  std::vector<Object> found;
  for (size_t index = 0; index < count; ++index) {
    const SegmentedObject &object = objects[index];
    const auto &box = object.box;
    found.emplace_back(std::make_tuple(object.centroid[0], object.centroid[1]),
                       std::make_tuple(box[0], box[1], box[2], box[3]), object.area, object.peak,
                       std::make_tuple(object.peak_at[0], object.peak_at[1]));
  }
  return found;
}

// An array in the memory of a segmentation, which it keeps alive.
template <typename T>
nb::object array_of(const T *values, ImageSize size, nb::handle owner) {
  const size_t shape[] = {static_cast<size_t>(size.height), static_cast<size_t>(size.width)};
  return nb::cast(nb::ndarray<nb::numpy, T>(const_cast<T *>(values), 2, shape, owner));
}

class PythonSegmentPipeline {
 public:
  explicit PythonSegmentPipeline(nb::handle session) : pipeline_(SegmentPipeline::open(&session_of(session))) {
    if (!pipeline_) raise_last_error();
  }

  SegmentPipeline &get() { return *pipeline_; }

  std::vector<Size> sizes() const {
    std::vector<Size> found;
    for (int index = 0; index < pipeline_->size_count(); ++index)
      found.emplace_back(pipeline_->size(index).height, pipeline_->size(index).width);
    return found;
  }

  // (mask, logits, objects, maps, method)
  nb::tuple segment(const Gray &image, const std::string &fit_name, const std::optional<Size> &frame) {
    Fit fit{};
    if (!find_fit(fit_name.c_str(), &fit)) raise_last_error();
    ImageSize wanted{};
    if (frame) wanted = {std::get<0>(*frame), std::get<1>(*frame)};
    auto found = std::make_unique<Segmentation>();
    bool done;
    {
      const nb::gil_scoped_release released;
      done = pipeline_->segment(image.data(), size_of_array(image), found.get(), fit, frame ? &wanted : nullptr);
    }
    if (!done) raise_last_error();
    const Segmentation &result = *found;
    const nb::capsule owner(found.release(), [](void *memory) noexcept { delete static_cast<Segmentation *>(memory); });
    nb::dict maps;
    for (int index = 0; index < result.map_count(); ++index) {
      const Map map = result.map(index);
      maps[map.name] = array_of(map.values, map.size, owner);
    }
    const auto *mask = reinterpret_cast<const bool *>(result.mask());
    return nb::make_tuple(array_of(mask, result.size(), owner), array_of(result.logits(), result.size(), owner),
                          objects_of(result.objects(), static_cast<size_t>(result.object_count())), maps,
                          result.method());
  }

 private:
  SegmentPipelinePointer pipeline_;
};

std::vector<Object> find(const Gray &logits, double threshold, bool by_area) {
  size_t count = 0;
  ArrayPointer<SegmentedObject> objects;
  {
    const nb::gil_scoped_release released;
    const Order order = by_area ? Order::area : Order::peak;
    objects = find_objects(logits.data(), size_of_array(logits), threshold, order, &count);
  }
  if (!objects) raise_last_error();
  return objects_of(objects.get(), count);
}

void draw(const Gray &image, const Mask &mask, const std::vector<Box> &boxes, const std::optional<Mask> &labelled,
          const nb::ndarray<uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu> &pixels) {
  std::vector<SegmentedObject> objects;
  for (const auto &[top, left, bottom, right] : boxes)
    objects.push_back(SegmentedObject{{}, {top, left, bottom, right}, 0, 0, {}});
  const auto *labels = labelled ? reinterpret_cast<const uint8_t *>(labelled->data()) : nullptr;
  if (!draw_overlay(image.data(), size_of_array(image), reinterpret_cast<const uint8_t *>(mask.data()), objects.data(),
                    static_cast<int>(objects.size()), labels, pixels.data()))
    raise_last_error();
}

}  // namespace

void bind_segment(nb::module_ &module) {
  nb::class_<PythonSegmentPipeline>(module, "SegmentPipeline")
      .def(nb::init<nb::handle>(), nb::keep_alive<1, 2>())
      .def_prop_ro("sizes", &PythonSegmentPipeline::sizes)
      .def_prop_rw(
          "threshold", [](PythonSegmentPipeline &self) { return self.get().threshold(); },
          [](PythonSegmentPipeline &self, double threshold) { self.get().set_threshold(threshold); })
      .def("segment", &PythonSegmentPipeline::segment, nb::arg("image"), nb::arg("fit"), nb::arg("frame").none());
  module.def("find_objects", &find);
  module.def("overlay_size", [](int height, int width) {
    const ImageSize size = overlay_size({height, width});
    return std::make_tuple(size.height, size.width);
  });
  module.def("draw_overlay", &draw, nb::arg("image"), nb::arg("mask"), nb::arg("boxes"), nb::arg("labelled").none(),
             nb::arg("pixels"));
}

}  // namespace edgekit
