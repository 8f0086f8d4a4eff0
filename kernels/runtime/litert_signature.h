// A method of a `.tflite` program: its signature, whose tensors are compared with the manifest's.
#pragma once

#include <vector>

#include "litert_ends.h"

namespace edgekit::litert {

struct Signature {
  // Throws Failure where the model's signature is not what the manifest says of the method.
  Signature(const Functions &litert, const std::string &folder, LiteRtModelT *model, const ProgramText &program,
            const MethodText &method);

  // Lets LiteRT know how many rows the inputs have, and asks how many the outputs get; false if it does not take them.
  bool resize(void *compiled, const Tensor *inputs);

  size_t index = 0;  // in the model
  std::vector<End> inputs, outputs;
  // Of each of the method's states, a view in either of two blocks; both views are of one block where states are changed
  // in place.
  std::vector<End> states[2];
  // By place in LiteRT's lists: the place in inputs (outputs), those of the states behind them.
  std::vector<size_t> input_order, output_order;
  // LiteRT's views for a run, in its order.
  std::vector<Buffer> taken, given;
  bool dynamic = false;
  void *subgraph = nullptr;  // the model's

 private:
  const Functions &litert_;
  std::vector<Layout> layouts_;
};

}  // namespace edgekit::litert
