// Session for Python: numpy arrays in and out, the interpreter released while a method runs.

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <optional>
#include <tuple>

#include "core/dtype.h"
#include "edgekit/gpu.h"
#include "module.h"

namespace edgekit {
namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

[[noreturn]] void raise(const char *kind, const std::string &sentence) {
  const nb::object type = nb::module_::import_("edgekit_runtime.errors").attr(kind);
  // A file's name in it may be no text.
  const auto text = nb::steal(
      PyUnicode_DecodeUTF8(sentence.data(), static_cast<Py_ssize_t>(sentence.size()), "backslashreplace"));
  PyErr_SetObject(type.ptr(), text.ptr());
  throw nb::python_error();
}

// (name, shape, dtype, units, dynamic)
using Spec = std::tuple<std::string, std::vector<int64_t>, std::string, std::string, bool>;

std::vector<Spec> specs(const TensorSpec *tensors, int count) {
  std::vector<Spec> found;
  for (int index = 0; index < count; ++index) {
    const TensorSpec &tensor = tensors[index];
    found.emplace_back(tensor.name, std::vector<int64_t>(tensor.shape, tensor.shape + tensor.rank),
                       name_of(tensor.dtype), tensor.units, tensor.dynamic);
  }
  return found;
}

DType dtype_of(const nb::dlpack::dtype &type) {
  using Code = nb::dlpack::dtype_code;
  const auto code = static_cast<Code>(type.code);
  if (code == Code::Float)
    return type.bits == 16 ? DType::float16 : type.bits == 32 ? DType::float32 : DType::float64;
  if (code == Code::Int)
    return type.bits == 8    ? DType::int8
           : type.bits == 16 ? DType::int16
           : type.bits == 32 ? DType::int32
                             : DType::int64;
  if (code == Code::Bool) return DType::boolean;
  if (code == Code::UInt && type.bits == 8) return DType::uint8;
  raise("UsageError", "an input has a dtype that no program takes: convert it to the method's.");
}

class PythonSession {
 public:
  PythonSession(const std::string &folder, bool check_files, bool check_finite,
                const std::optional<std::string> &public_key) {
    Options options;
    options.check_files = check_files;
    options.check_finite = check_finite;
    if (public_key) options.public_key = public_key->c_str();
    session_ = Session::open(folder.c_str(), options);
    if (!session_) raise_last_error();
  }

  Session &get() { return *session_; }

  std::vector<std::tuple<std::string, std::vector<Spec>, std::vector<Spec>>> methods() const {
    std::vector<std::tuple<std::string, std::vector<Spec>, std::vector<Spec>>> found;
    for (int index = 0; index < session_->method_count(); ++index) {
      const MethodSpec &method = session_->method(index);
      found.emplace_back(method.name, specs(method.inputs, method.input_count),
                         specs(method.outputs, method.output_count));
    }
    return found;
  }

  // `outputs` are arrays of the method's largest shapes; gives the first dimension that was written of each.
  std::vector<int64_t> run(const std::string &name, const std::vector<Array> &inputs,
                           const std::vector<nb::ndarray<nb::c_contig, nb::device::cpu>> &outputs) {
    std::vector<Tensor> given, wanted;
    // nanobind's shapes are size_t; copied, for an array's description may be shared.
    std::vector<std::array<int64_t, kMostDimensions>> shapes(inputs.size() + outputs.size());
    size_t place = 0;
    const auto describe = [&](const auto &array, void *data) {
      if (array.ndim() > kMostDimensions) raise("UsageError", "an array has more than 16 dimensions.");
      auto &shape = shapes[place++];
      for (size_t dimension = 0; dimension < array.ndim(); ++dimension)
        shape[dimension] = static_cast<int64_t>(array.shape(dimension));
      return Tensor{data, dtype_of(array.dtype()), static_cast<int>(array.ndim()), shape.data()};
    };
    for (const auto &array : inputs) given.push_back(describe(array, const_cast<void *>(array.data())));
    for (const auto &array : outputs) wanted.push_back(describe(array, array.data()));
    std::vector<int64_t> rows(outputs.size());
    bool done;
    {
      const nb::gil_scoped_release released;
      done = session_->run(name.c_str(), given.data(), static_cast<int>(given.size()), wanted.data(),
                           static_cast<int>(wanted.size()), rows.data());
    }
    if (!done) raise_last_error();
    return rows;
  }

  nb::bytes save_state() {
    std::vector<char> state(session_->state_size());
    check(session_->save_state(state.data(), state.size()));
    return nb::bytes(state.data(), state.size());
  }

  static void check(bool done) {
    if (!done) raise_last_error();
  }

 private:
  SessionPointer session_;
};

// (name or "", why none, [(operator, calls, launches)], hand-overs, bytes to the GPU and back)
using GpuReport = std::tuple<std::string, std::string, std::vector<std::tuple<std::string, int64_t, int64_t>>, int64_t,
                             int64_t, int64_t>;

GpuReport report_gpu(const Session &session) {
  edgekit_gpu gpu;
  edgekit_gpu_counts counts;
  edgekit_gpu_count(&counts);
  const bool is_used = session.uses_gpu() && edgekit_gpu_find(&gpu);
  std::vector<std::tuple<std::string, int64_t, int64_t>> operators;
  for (int place = 0; place < EDGEKIT_GPU_OPERATORS; ++place)
    operators.emplace_back(edgekit_gpu_operator(place), counts.calls[place], counts.launches[place]);
  return {is_used ? gpu.name : "", is_used ? "" : edgekit_gpu_reason(), operators, counts.hand_overs,
          counts.bytes_to_gpu, counts.bytes_to_cpu};
}

}  // namespace

void raise_last_error() { raise(last_error_is_usage() ? "UsageError" : "EdgekitError", last_error()); }

Session &session_of(nb::handle session) { return nb::cast<PythonSession &>(session).get(); }

void bind_session(nb::module_ &module) {
  nb::class_<PythonSession>(module, "Session")
      .def(nb::init<const std::string &, bool, bool, const std::optional<std::string> &>(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg().none())
      .def_prop_ro("manifest", [](PythonSession &self) { return self.get().manifest(); })
      .def("methods", &PythonSession::methods)
      .def("load", [](PythonSession &self, const std::string &name) { self.check(self.get().load(name.c_str())); })
      .def("run", &PythonSession::run)
      .def_prop_ro("state", [](PythonSession &self) { return self.get().state(); })
      .def("use_state",
           [](PythonSession &self, const std::string &name) { self.check(self.get().use_state(name.c_str())); })
      .def("drop_state",
           [](PythonSession &self, const std::string &name) { self.check(self.get().drop_state(name.c_str())); })
      .def("reset_state", [](PythonSession &self) { self.check(self.get().reset_state()); })
      .def("save_state", &PythonSession::save_state)
      .def("restore_state",
           [](PythonSession &self, nb::bytes state) {
             self.check(self.get().restore_state(state.c_str(), state.size()));
           })
      .def("required_scratch",
           [](PythonSession &self, const std::string &name) { return self.get().required_scratch(name.c_str()); })
      .def("gpu", [](PythonSession &self) { return report_gpu(self.get()); })
      .def("memory", [](PythonSession &self) {
        const Memory memory = self.get().memory();
        return std::make_tuple(memory.program, memory.arena, memory.state, memory.scratch, memory.runtime);
      });
  module.def("version", &runtime_version);
  module.def("set_library", [](const std::string &runtime, const std::string &file) {
    PythonSession::check(set_library(runtime.c_str(), file.c_str()));
  });
  module.def("threads", &threads);
  module.def("set_threads", [](int count) { PythonSession::check(set_threads(count)); });
  module.def("set_cores", [](const std::vector<int> &cores) {
    PythonSession::check(set_cores(cores.data(), static_cast<int>(cores.size())));
  });
}

}  // namespace edgekit
