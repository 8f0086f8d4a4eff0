#include "litert_signature.h"

#include <algorithm>

#include "core/failure.h"

namespace edgekit::litert {
namespace {

// One side of a signature, in the order of a run: tensors, and the numbers behind their names ("args_0").
struct Side {
  std::vector<void *> tensors;
  std::vector<size_t> numbers;

  void *tensor(size_t number) const {
    return tensors[static_cast<size_t>(std::find(numbers.begin(), numbers.end(), number) - numbers.begin())];
  }
};

class Reader {
 public:
  Reader(const Functions &litert, const std::string &folder, LiteRtModelT *model, const std::string &method)
      : litert_(litert), folder_(folder), method_(method) {
    size_t count = 0;
    check(litert_.count_signatures(model, &count));
    for (; index < count; ++index) {
      const char *key = nullptr;
      check(litert_.signature(model, index, &signature_));
      check(litert_.signature_key(signature_, &key));
      if (method == key) break;
    }
    if (index == count) refuse();
    check(litert_.signature_subgraph(signature_, &subgraph_));
  }

  Side inputs(size_t wanted) const {
    return side("args_", wanted, litert_.count_inputs, litert_.input_name, litert_.input_tensor,
                litert_.subgraph_input);
  }
  Side outputs(size_t wanted) const {
    return side("output_", wanted, litert_.count_outputs, litert_.output_name, litert_.output_tensor,
                litert_.subgraph_output);
  }
  TensorType type(const Side &side, size_t number) const {
    TensorType type{};
    check(litert_.tensor_type(side.tensor(number), &type));
    return type;
  }

  void *subgraph() const { return subgraph_; }

  size_t index = 0;

 private:
  [[noreturn]] void refuse() const {
    throw Failure(format("the program of %s has another method '%s' than its manifest says: export it again.",
                         folder_.c_str(), method_.c_str()));
  }
  void check(int status) const {
    if (status != kOk) refuse();
  }

  template <typename Count, typename Name, typename OfSignature, typename OfSubgraph>
  Side side(const std::string &prefix, size_t wanted, Count count_of, Name name_of, OfSignature tensor_of,
            OfSubgraph run_tensor_of) const {
    size_t count = 0;
    check(count_of(signature_, &count));
    if (count != wanted) refuse();
    Side listed{std::vector<void *>(count), std::vector<size_t>(count, count)};
    for (size_t place = 0; place < count; ++place) {
      const char *name = nullptr;
      check(name_of(signature_, place, &name));
      check(tensor_of(signature_, place, &listed.tensors[place]));
      size_t number = 0;
      while (number < count && prefix + std::to_string(number) != name) ++number;
      if (number == count || std::count(listed.numbers.begin(), listed.numbers.end(), number) > 0) refuse();
      listed.numbers[place] = number;
    }
    // A run takes them in the order of the graph, which is another.
    Side sorted;
    for (size_t place = 0; place < count; ++place) {
      void *tensor = nullptr;
      check(run_tensor_of(subgraph_, place, &tensor));
      const auto found = std::find(listed.tensors.begin(), listed.tensors.end(), tensor);
      if (found == listed.tensors.end()) refuse();
      sorted.tensors.push_back(tensor);
      sorted.numbers.push_back(listed.numbers[static_cast<size_t>(found - listed.tensors.begin())]);
      *found = nullptr;  // one that is listed twice is found twice
    }
    return sorted;
  }

  const Functions &litert_;
  const std::string &folder_, &method_;
  void *signature_ = nullptr, *subgraph_ = nullptr;
};

// A tensor that is more than one input or output has one memory only, where callers give one for each. A state that
// comes out as it went in may stay where it is.
bool is_shared(const Side &inputs, const Side &outputs, const ProgramText &program, const MethodText &method) {
  for (size_t place = 0; place < outputs.tensors.size(); ++place) {
    if (std::count(outputs.tensors.begin(), outputs.tensors.end(), outputs.tensors[place]) > 1) return true;
    for (size_t input = 0; input < inputs.tensors.size(); ++input) {
      if (inputs.tensors[input] != outputs.tensors[place]) continue;
      const size_t taken = inputs.numbers[input], given = outputs.numbers[place];
      if (!program.states_in_place || taken < method.inputs.size() ||
          taken - method.inputs.size() + method.outputs.size() != given)
        return true;
    }
  }
  return false;
}

}  // namespace

Signature::Signature(const Functions &litert, const std::string &folder, LiteRtModelT *model,
                     const ProgramText &program, const MethodText &method)
    : litert_(litert) {
  const Reader reader(litert, folder, model, method.name);
  const Side in = reader.inputs(method.inputs.size() + method.states.size());
  const Side out = reader.outputs(method.outputs.size() + method.states.size());
  if (is_shared(in, out, program, method))
    throw Failure(format("method '%s' of %s gives one tensor as two outputs, or an input as an output: export it again "
                         "with a copy between them.",
                         method.name.c_str(), folder.c_str()));
  const std::string of_method = "' of method '" + method.name + "'";
  const auto add = [&](std::vector<End> &ends, const Side &side, size_t number, const std::string &what, DType dtype,
                       const std::vector<int64_t> &shape, bool is_dynamic) {
    ends.emplace_back(litert, folder, what + of_method, reader.type(side, number), dtype, shape, is_dynamic);
  };
  for (const TensorText &text : method.inputs) {
    add(inputs, in, inputs.size(), "input '" + text.name, text.dtype, text.shape, text.dynamic);
    dynamic = dynamic || text.dynamic;
  }
  for (const TensorText &text : method.outputs)
    add(outputs, out, outputs.size(), "output '" + text.name, text.dtype, text.shape, text.dynamic);
  for (size_t place = 0; place < method.states.size(); ++place) {
    const StateText &text = program.states[method.states[place]];
    add(states[0], in, method.inputs.size() + place, "state '" + text.name, text.dtype, text.shape, false);
    add(states[1], out, method.outputs.size() + place, "state '" + text.name, text.dtype, text.shape, false);
  }
  index = reader.index;
  subgraph = reader.subgraph();
  input_order = in.numbers;
  output_order = out.numbers;
  taken.resize(input_order.size());
  given.resize(output_order.size());
  layouts_.resize(output_order.size());
}

bool Signature::resize(void *compiled, const Tensor *tensors) {
  for (size_t place = 0; place < input_order.size(); ++place) {
    const size_t input = input_order[place];
    if (input >= inputs.size() || !inputs[input].is_dynamic()) continue;
    inputs[input].set_rows(tensors[input].shape[0]);
    const Layout &layout = inputs[input].layout();
    if (litert_.resize_input(compiled, index, place, layout.sizes, layout.rank) != kOk) return false;
  }
  if (litert_.output_layouts(compiled, index, layouts_.size(), layouts_.data(), true) != kOk) return false;
  for (size_t place = 0; place < output_order.size(); ++place) {
    const size_t output = output_order[place];
    if (output < outputs.size() && outputs[output].is_dynamic()) outputs[output].set_rows(layouts_[place].sizes[0]);
  }
  return true;
}

}  // namespace edgekit::litert
