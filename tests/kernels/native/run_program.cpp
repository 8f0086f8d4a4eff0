// Runs the method "forward" of an ExecuTorch program: run_program PROGRAM INPUTS OUTPUTS
//
// INPUTS and OUTPUTS are files of tensors (tensors.h). INPUTS may hold several calls' inputs, one after the other; the
// outputs of all calls are written.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <vector>

#include "tensors.h"

using executorch::extension::Module;
using executorch::runtime::EValue;
using executorch::runtime::Tag;

int main(int count, char **arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: run_program PROGRAM INPUTS OUTPUTS\n");
    return 2;
  }
  Module module(arguments[1]);
  const auto meta = module.method_meta("forward");
  if (!meta.ok()) {
    std::fprintf(stderr, "%s cannot be loaded: error %d\n", arguments[1], static_cast<int>(meta.error()));
    return 1;
  }
  const std::vector<Buffer> tensors = read_tensors(arguments[2]);
  std::ofstream file(arguments[3], std::ios::binary);
  const size_t inputs = meta->num_inputs();
  for (size_t first = 0; first + inputs <= tensors.size(); first += inputs) {
    std::vector<EValue> values;
    std::vector<executorch::extension::TensorPtr> kept;
    for (size_t index = 0; index < inputs; ++index) {
      const Buffer &given = tensors[first + index];
      if (*meta->input_tag(index) == Tag::Int) {
        values.emplace_back(*given.as<int64_t>());
        continue;
      }
      const auto info = meta->input_tensor_meta(index);
      if (info->nbytes() != given.size()) {
        std::fprintf(stderr, "input %zu has %zu bytes, %zu are needed\n", index, given.size(), info->nbytes());
        return 1;
      }
      const std::vector<executorch::aten::SizesType> sizes(info->sizes().begin(), info->sizes().end());
      kept.push_back(executorch::extension::make_tensor_ptr(sizes, given.as(), info->scalar_type()));
      values.emplace_back(*kept.back());
    }
    const auto outputs = module.execute("forward", values);
    if (!outputs.ok()) {
      std::fprintf(stderr, "forward failed: error %d\n", static_cast<int>(outputs.error()));
      return 1;
    }
    for (const EValue &output : *outputs) {
      const auto &tensor = output.toTensor();
      write_tensor(file, tensor.const_data_ptr(), static_cast<int64_t>(tensor.nbytes()));
    }
  }
  return 0;
}
