#include "tflite_node.h"

#include <cstdlib>

#include "pool.h"

namespace edgekit::litert_binding {
namespace {

// Of the thread that runs interpreters; they take turns on it.
thread_local Scratch scratch;

// Of all interpreters. Never destroyed: its threads may be waiting when the process ends.
Pool &pool() {
  static Pool &shared = *new Pool;
  return shared;
}

Shape shape_of(const TfliteNode &node, const tflite::Tensor &tensor) {
  if (tensor.dims == nullptr || tensor.dims->size > kMostDimensions)
    throw failure("%s: tensor '%s' has more than %d dimensions.", node.code.c_str(), tensor.name, kMostDimensions);
  Shape shape;
  for (int dimension = 0; dimension < tensor.dims->size; ++dimension)
    shape.sizes[shape.rank++] = tensor.dims->data[dimension];
  return shape;
}

std::vector<int> places(const tflite::IntArray &array) { return {array.data, array.data + array.size}; }

// False, and reported, where it throws.
template <typename Body>
int reported(tflite::Context *context, const Body &body) {
  const auto report = [&](const char *sentence) { context->ReportError(context, "%s", sentence); };
  return guarded(body, report) ? tflite::kOk : tflite::kError;
}

TfliteNode &node_of(tflite::Node *node) {
  auto *found = static_cast<TfliteNode *>(node->user_data);
  if (found == nullptr || !found->kernel) throw failure("an operator of edgekit was not set up: see above.");
  if (found->outputs.empty()) {
    found->inputs = places(*node->inputs);
    found->outputs = places(*node->outputs);
  }
  return *found;
}

void resize(tflite::Context *context, const TfliteNode &node, tflite::Tensor &tensor, const Shape &shape) {
  if (shape_of(node, tensor) == shape) return;
  auto *sizes = static_cast<tflite::IntArray *>(
      std::malloc(sizeof(tflite::IntArray) + sizeof(int) * static_cast<size_t>(shape.rank)));
  if (sizes == nullptr) throw std::bad_alloc();
  sizes->size = shape.rank;
  for (int dimension = 0; dimension < shape.rank; ++dimension)
    sizes->data[dimension] = static_cast<int>(shape[dimension]);
  if (context->ResizeTensor(context, &tensor, sizes) != tflite::kOk)
    throw failure("%s: tensor '%s' cannot have shape %s.", node.code.c_str(), tensor.name, shape.text().c_str());
}

}  // namespace

void free_node(tflite::Context *, void *user_data) { delete static_cast<TfliteNode *>(user_data); }

int prepare_node(tflite::Context *context, tflite::Node *called) {
  return reported(context, [&] {
    const TfliteNode &node = node_of(called);
    std::vector<Shape> shapes;
    for (const int input : node.inputs) shapes.push_back(shape_of(node, context->tensors[input]));
    shapes = node.kernel->shapes(shapes);
    if (shapes.size() != node.outputs.size())
      throw failure("%s has %zu outputs in this program, it gives %zu: export the program again.", node.code.c_str(),
                    node.outputs.size(), shapes.size());
    for (size_t output = 0; output < shapes.size(); ++output)
      resize(context, node, context->tensors[node.outputs[output]], shapes[output]);
  });
}

int invoke_node(tflite::Context *context, tflite::Node *called) {
  return reported(context, [&] {
    const TfliteNode &node = node_of(called);
    const auto tensors_of = [&](const std::vector<int> &indices) {
      std::vector<Tensor> tensors;
      for (const int index : indices) {
        const tflite::Tensor &tensor = context->tensors[index];
        tensors.push_back({static_cast<Type>(tensor.type), shape_of(node, tensor), tensor.data});
      }
      return tensors;
    };
    const std::vector<Tensor> inputs = tensors_of(node.inputs), outputs = tensors_of(node.outputs);
    const Threads threads(pool(), node.threads > 0 ? node.threads : context->recommended_num_threads);
    const edgekit_context on_threads = threads.context();
    Call call(node.kernel->name, inputs, outputs, on_threads, scratch);
    node.kernel->run(call);
  });
}

}  // namespace edgekit::litert_binding
