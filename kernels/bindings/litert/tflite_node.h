// A node of TensorFlow Lite's interpreter that runs a kernel: for the delegate and for registered operators.
#pragma once

#include <memory>
#include <vector>

#include "kernel.h"
#include "tflite.h"

namespace edgekit::litert_binding {

struct TfliteNode {
  std::unique_ptr<Kernel> kernel;
  std::string code;
  int threads = 0;                   // 0: as many as the interpreter recommends
  std::vector<int> inputs, outputs;  // tensors of the interpreter; a delegate's node lists them in an order of its own
};

// For a registration whose init gives a TfliteNode; failures are reported to the interpreter.
void free_node(tflite::Context *, void *user_data);
int prepare_node(tflite::Context *, tflite::Node *);
int invoke_node(tflite::Context *, tflite::Node *);

}  // namespace edgekit::litert_binding
