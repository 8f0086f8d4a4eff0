// Images for Python: numpy arrays of float32, and of whatever is resized by nearest.

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "edgekit/images.h"
#include "module.h"

namespace edgekit {
namespace {

using Gray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Filled = nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Of the first two dimensions.
template <typename Array>
ImageSize size_of_array(const Array &array) {
  return {static_cast<int>(array.shape(0)), static_cast<int>(array.shape(1))};
}

void check(bool done) {
  if (!done) raise_last_error();
}

nb::object read(const std::string &path) {
  ImageSize size{};
  ArrayPointer<float> gray;
  {
    const nb::gil_scoped_release released;
    gray = read_gray(path.c_str(), &size);
  }
  check(gray != nullptr);
  float *const values = gray.release();
  const nb::capsule owner(values, [](void *array) noexcept { ReleaseArray()(array); });
  const size_t shape[] = {static_cast<size_t>(size.height), static_cast<size_t>(size.width)};
  return nb::cast(nb::ndarray<nb::numpy, float>(values, 2, shape, owner));
}

}  // namespace

void bind_images(nb::module_ &module) {
  module.def("read_gray", &read);
  module.def("resize_linear", [](const Gray &image, const nb::ndarray<float, nb::ndim<2>, nb::c_contig> &to) {
    check(resize_linear(image.data(), size_of_array(image), to.data(), size_of_array(to)));
  });
  module.def("resize_nearest", [](const Values &values, const Filled &to) {
    check(resize_nearest(values.data(), size_of_array(values), values.itemsize(), to.data(), size_of_array(to)));
  });
  module.def("write_png", [](const std::string &path,
                             const nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu> &pixels) {
    const int channels = pixels.ndim() == 2 ? 1 : static_cast<int>(pixels.shape(2));
    check(write_png(path.c_str(), pixels.data(), size_of_array(pixels), channels));
  });
}

}  // namespace edgekit
