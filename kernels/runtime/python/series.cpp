// Series and arrays from files, for Python: the arrays are the native memory.

#include "edgekit/series.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "core/dtype.h"
#include "edgekit/npy.h"
#include "module.h"

namespace edgekit {
namespace {

using Values = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::vector<const char *> pointers(const std::vector<std::string> &texts) {
  std::vector<const char *> found;
  for (const std::string &text : texts) found.push_back(text.c_str());
  return found;
}

// An array over memory that `owner` holds, which lives as long as the array.
template <typename Pointer>
nb::capsule kept(Pointer owner) {
  return nb::capsule(new Pointer(std::move(owner)), [](void *held) noexcept { delete static_cast<Pointer *>(held); });
}

template <typename Text>
nb::object tuple_of(size_t count, const Text &text) {
  const nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(count)));
  if (!tuple.is_valid()) throw nb::python_error();
  for (size_t index = 0; index < count; ++index)
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(index), nb::str(text(index)).release().ptr());
  return tuple;
}

nb::tuple read_series(const std::string &path, int channels) {
  SeriesPointer series;
  {
    const nb::gil_scoped_release released;
    series = Series::read(path.c_str(), channels);
  }
  if (!series) raise_last_error();
  Series &read = *series;
  const auto rows = static_cast<size_t>(read.rows()), count = static_cast<size_t>(read.channels());
  const nb::object names = tuple_of(count, [&](size_t index) { return read.channel(static_cast<int>(index)); });
  nb::object times = nb::none();
  if (read.time(0) != nullptr)
    times = tuple_of(rows, [&](size_t row) { return read.time(static_cast<int64_t>(row)); });
  const size_t shape[] = {rows, count};
  const bool named = read.named();
  float *values = read.values();
  const auto array = nb::ndarray<nb::numpy, float>(values, 2, shape, kept(std::move(series))).cast();
  return nb::make_tuple(array, names, times, named);
}

nb::dlpack::dtype dtype_of(DType dtype) {
  using Code = nb::dlpack::dtype_code;
  const std::string name = name_of(dtype);
  const Code code = name == "bool"     ? Code::Bool
                    : name[0] == 'f' ? Code::Float
                    : name[0] == 'u' ? Code::UInt
                                     : Code::Int;
  return {static_cast<uint8_t>(code), static_cast<uint8_t>(8 * size_of(dtype)), 1};
}

nb::object read_npy(const std::string &path) {
  NpyArrayPointer array;
  {
    const nb::gil_scoped_release released;
    array = NpyArray::read(path.c_str());
  }
  if (!array) raise_last_error();
  std::array<size_t, kMostDimensions> shape{};
  const auto rank = static_cast<size_t>(array->rank());
  for (size_t axis = 0; axis < rank; ++axis) shape[axis] = static_cast<size_t>(array->shape()[axis]);
  const nb::dlpack::dtype dtype = dtype_of(array->dtype());
  void *data = array->data();
  return nb::ndarray<nb::numpy>(data, rank, shape.data(), kept(std::move(array)), nullptr, dtype).cast();
}

void check_values(const Values &values, const std::vector<std::string> &channels, const std::string &origin) {
  if (values.shape(1) != channels.size()) throw nb::value_error("one name for each channel is needed");
  if (!edgekit::check_values(values.data(), static_cast<int64_t>(values.shape(0)), pointers(channels).data(),
                             static_cast<int>(channels.size()), origin.c_str()))
    raise_last_error();
}

std::vector<int> channel_order(const std::vector<std::string> &given, bool named,
                               const std::vector<std::string> &wanted, const std::string &origin) {
  std::vector<int> order(wanted.size());
  if (!edgekit::channel_order(pointers(given).data(), static_cast<int>(given.size()), named, pointers(wanted).data(),
                              static_cast<int>(wanted.size()), origin.c_str(), order.data()))
    raise_last_error();
  return order;
}

}  // namespace

void bind_series(nb::module_ &module) {
  module.attr("MAX_SERIES_BYTES") = kLargestSeries;
  module.def("read_series", &read_series);
  module.def("read_npy", &read_npy);
  module.def("check_values", [](const Values &values, const std::vector<std::string> &channels,
                                const std::string &origin) { check_values(values, channels, origin); });
  module.def("channel_order", [](const std::vector<std::string> &given, bool named,
                                 const std::vector<std::string> &wanted,
                                 const std::string &origin) { return channel_order(given, named, wanted, origin); });
}

}  // namespace edgekit
