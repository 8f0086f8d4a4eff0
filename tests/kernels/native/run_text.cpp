// Goes on with a text by the likeliest token: run_text PROGRAM INPUTS OUTPUTS COUNT WORDS
//
// INPUTS (tensors.h) holds the prompt's tokens, int64, at most a chunk of them; only the first WORDS logits are chosen
// from. OUTPUTS gets, COUNT times, the logits after the last token.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tensors.h"

using executorch::extension::make_tensor_ptr;
using executorch::extension::Module;

int main(int count, char **arguments) {
  if (count != 6) {
    std::fprintf(stderr, "usage: run_text PROGRAM INPUTS OUTPUTS COUNT WORDS\n");
    return 2;
  }
  Module module(arguments[1]);
  const std::vector<Buffer> tensors = read_tensors(arguments[2]);
  std::ofstream file(arguments[3], std::ios::binary);
  const int64_t *prompt = tensors[0].as<int64_t>();
  std::vector<int64_t> tokens(prompt, prompt + tensors[0].size() / sizeof(int64_t));
  const long words = std::atol(arguments[5]);
  int64_t position = 0;
  for (long step = std::atol(arguments[4]); step > 0; --step) {
    const auto length = static_cast<executorch::aten::SizesType>(tokens.size());
    std::vector<int64_t> start = {position}, rows = {length - 1};
    const auto outputs = module.execute(
        "extend",
        {make_tensor_ptr({length}, tokens.data(), executorch::aten::ScalarType::Long),
         make_tensor_ptr({}, start.data(), executorch::aten::ScalarType::Long),
         make_tensor_ptr({1}, rows.data(), executorch::aten::ScalarType::Long)});
    if (!outputs.ok()) {
      std::fprintf(stderr, "extend failed: error %d\n", static_cast<int>(outputs.error()));
      return 1;
    }
    const auto &logits = outputs->at(0).toTensor();
    const float *values = logits.const_data_ptr<float>();
    write_tensor(file, values, static_cast<int64_t>(logits.nbytes()));
    position += length;
    tokens = {std::max_element(values, values + words) - values};
  }
  return 0;
}
