// A bundle of a user's own module: arrays in, arrays out.

#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "core/json.h"
#include "edgekit/npy.h"
#include "output.h"
#include "tasks.h"

namespace edgekit {
namespace {

// A .npy file, format 1.0 (numpy's NEP 1): magic, length of the header, header padded to 64 bytes, numbers.
std::string npy(const Tensor &tensor, size_t bytes) {
  std::string shape;
  for (int dimension = 0; dimension < tensor.rank; ++dimension) shape += std::to_string(tensor.shape[dimension]) + ",";
  const std::string name = name_of(tensor.dtype);
  const char kind = name[0] == 'f' ? 'f' : name[0] == 'u' ? 'u' : name[0] == 'b' ? 'b' : 'i';
  const size_t size = size_of(tensor.dtype);
  std::string header = format("{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (%s), }", size == 1 ? '|' : '<',
                              kind, size, shape.c_str());
  header.append(64 - (10 + header.size() + 1) % 64, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 255);
  file += static_cast<char>(header.size() >> 8);
  return file + header + std::string(static_cast<const char *>(tensor.data), bytes);
}

}  // namespace

void run_tensors(Session &session, const Request &request) {
  take_only(request, {"input", "output", "method"});
  std::vector<NpyArrayPointer> arrays;
  std::vector<Tensor> inputs, outputs;
  for (const std::string &path : request.inputs) {
    arrays.push_back(NpyArray::read(path.c_str()));
    if (!arrays.back()) fail_as_said();
    NpyArray &array = *arrays.back();
    inputs.push_back({array.data(), array.dtype(), array.rank(), array.shape()});
  }
  const int count = static_cast<int>(inputs.size());
  const MethodSpec *method = request.method ? session.find_method(request.method->c_str())
                                            : session.find_method(inputs.data(), count);
  if (method == nullptr)
    throw UsageFailure(request.method ? format("there is no method '%s'.", request.method->c_str())
                                      : "no method of this bundle takes arrays of these shapes: give one --input .npy "
                                        "for each input, `edgekit inspect` shows which.");
  std::vector<std::vector<double>> memory;
  for (int index = 0; index < method->output_count; ++index) {
    const TensorSpec &spec = method->outputs[index];
    size_t bytes = size_of(spec.dtype);
    for (int dimension = 0; dimension < spec.rank; ++dimension) bytes *= static_cast<size_t>(spec.shape[dimension]);
    memory.emplace_back(bytes / 8 + 1);
    outputs.push_back({memory.back().data(), spec.dtype, spec.rank, spec.shape});
  }
  std::vector<int64_t> rows(outputs.size());
  if (!session.run(method->name, inputs.data(), count, outputs.data(), method->output_count, rows.data()))
    fail_as_said();
  if (request.output && mkdir(request.output->c_str(), 0777) != 0) check_free(request, *request.output);
  Json results = Json::array();
  for (size_t index = 0; index < outputs.size(); ++index) {
    const TensorSpec &spec = method->outputs[index];
    std::vector<int64_t> shape(spec.shape, spec.shape + spec.rank);
    if (spec.dynamic) shape[0] = rows[index];
    const Tensor tensor{outputs[index].data, spec.dtype, spec.rank, shape.data()};
    size_t numbers = 1;
    for (const int64_t size : shape) numbers *= static_cast<size_t>(size);
    Json result = {{"output", spec.name}, {"shape", shape}, {"dtype", name_of(spec.dtype)}};
    if (request.output) {
      const std::string path = *request.output + "/" + spec.name + ".npy";
      write_file(path, npy(tensor, numbers * size_of(spec.dtype)));
      result["written"] = path;
    }
    results.push_back(std::move(result));
  }
  if (request.json) {
    std::printf("%s\n", Json{{"method", method->name}, {"outputs", results}}.dump(2).c_str());
    return;
  }
  for (const Json &result : results)
    std::printf("%s: %s %s%s%s\n", result["output"].get<std::string>().c_str(),
                result["dtype"].get<std::string>().c_str(), result["shape"].dump().c_str(),
                result.contains("written") ? ", written: " : "",
                result.contains("written") ? result["written"].get<std::string>().c_str() : "");
}

}  // namespace edgekit
