#include "litert_engine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/dtype.h"
#include "core/failure.h"
#include "core/files.h"
#include "core/log.h"
#include "edgekit/litert.h"
#include "executorch_engine.h"
#include "litert_ends.h"

namespace edgekit {
namespace {

using litert::End;

constexpr char kOurs[] = "edgekit.";

// What a method's signature takes and gives, in the order of LiteRT's lists: places in inputs, outputs and states.
struct Signature {
  size_t index = 0;
  std::vector<End> inputs, outputs;
  // Of each of the method's states, a view of the memory that it is read from and of that it goes to: two blocks, the
  // same one twice where states are changed in place.
  std::vector<End> states[2];
  std::vector<size_t> input_order, output_order;  // by LiteRT's place: in the inputs, followed by the states
  std::vector<litert::Buffer> taken, given;
  std::vector<litert::Layout> layouts;
  bool dynamic = false;
};

class LitertEngine final : public Engine {
 public:
  LitertEngine(const Bundle &bundle, Heap &heap)
      : folder_(bundle.folder()), text_(bundle.program()), heap_(heap), library_("litert"), litert_(library_) {
    check_operators();
    const std::string path = bundle.path(text_.file);
    const litert::EnvironmentOption options[] = {
        {litert::kAutoRegisterAccelerators, litert::kWholeNumber, litert::kCpu},
        {litert::kLeastLogSeverity, litert::kWholeNumber, litert::kSilent}};
    try {
      if (litert_.create_environment(2, options, &environment_) != litert::kOk)
        throw Failure(format("%s does not start: install the ai-edge-litert that edgekit names.",
                             library_.path().c_str()));
      if (litert_.create_model(environment_, path.c_str(), &model_) != litert::kOk)
        throw Failure(format("%s cannot be loaded by %s: close something if memory is short, install the ai-edge-litert "
                             "that edgekit names, or export it again.",
                             path.c_str(), library_.path().c_str()));
      prepare_options();  // says which operator this library does not have
      plan_state();
      for (const MethodText &method : text_.methods) signatures_.push_back(find_signature(method));
    } catch (...) {
      close();
      throw;
    }
    program_bytes_ = file_size(path);
  }
  ~LitertEngine() override { close(); }

  // All methods are compiled at once, so that they share what is packed.
  void load(size_t) override {
    if (prepared_for_ != pool_generation() || options_ == nullptr) prepare_options();
    if (compiled_ != nullptr) return;
    const int status = litert_.create_compiled(environment_, model_, options_, &compiled_);
    check_operators_ran("the program");
    if (status != litert::kOk)
      throw Failure(format("the program of %s cannot be loaded: close something if memory is short, else install the "
                           "ai-edge-litert that edgekit names.",
                           folder_.c_str()));
  }

  void run(size_t index, const Tensor *inputs, const Tensor *outputs, int64_t *rows) override {
    const MethodText &text = text_.methods[index];
    Signature &signature = signatures_[index];
    if (signature.dynamic) resize(signature, inputs);
    const size_t input_count = signature.inputs.size(), output_count = signature.outputs.size();
    const auto states = [&](int block, size_t place) {
      return signature.states[block][place].view(state_at(blocks_[block], text.states[place]));
    };
    const int to = in_place() ? 1 : 1 - from_, from = in_place() ? 0 : from_;
    for (size_t place = 0; place < signature.taken.size(); ++place) {
      const size_t input = signature.input_order[place];
      signature.taken[place] = input < input_count ? signature.inputs[input].take(inputs[input], heap_)
                                                   : states(from, input - input_count);
    }
    for (size_t place = 0; place < signature.given.size(); ++place) {
      const size_t output = signature.output_order[place];
      signature.given[place] = output < output_count ? signature.outputs[output].give(outputs[output], heap_)
                                                     : states(to, output - output_count);
    }
    const int status = litert_.run(compiled_, signature.index, signature.taken.size(), signature.taken.data(),
                                   signature.given.size(), signature.given.data());
    const std::string where = "method '" + text.name + "'";
    check_operators_ran(where);
    if (status != litert::kOk)
      throw Failure(format("%s of %s failed: %s.", where.c_str(), folder_.c_str(), reason().c_str()));
    if (!in_place() && !text.states.empty()) turn(text);
    for (size_t output = 0; output < output_count; ++output) {
      signature.outputs[output].finish(outputs[output]);
      rows[output] = signature.outputs[output].rows();
    }
  }

  Block &state() override { return *blocks_[in_place() ? 0 : from_]; }
  size_t program_bytes() const override { return program_bytes_; }
  // What LiteRT itself holds it does not say: here are the copies of inputs and outputs.
  size_t arena_bytes() const override {
    size_t size = 0;
    for (const Signature &signature : signatures_) {
      for (const End &end : signature.inputs) size += end.held();
      for (const End &end : signature.outputs) size += end.held();
    }
    return size + state_[1].size();
  }
  size_t runtime_bytes() const override { return 0; }
  size_t scratch_bytes() const override { return operators_ == nullptr ? 0 : edgekit_litert_scratch(operators_); }
  size_t scratch_of(size_t) const override { return scratch_bytes(); }

 private:
  bool in_place() const { return text_.states_in_place; }

  void check_operators() const {
    std::string missing;
    for (const std::string &name : text_.operators)
      if (name.compare(0, sizeof kOurs - 1, kOurs) != 0) missing += (missing.empty() ? "" : ", ") + name;
    for (const std::string &name : text_.delegates) missing += (missing.empty() ? "" : ", ") + name;
    if (!missing.empty())
      throw Failure(format("%s needs %s, which this runtime does not have: install the edgekit-runtime that fits the "
                           "edgekit that made the bundle.",
                           folder_.c_str(), missing.c_str()));
  }

  void close() noexcept {
    release_compiled();
    signatures_.clear();
    if (model_ != nullptr) litert_.destroy_model(model_);
    if (environment_ != nullptr) litert_.destroy_environment(environment_);
  }

  void release_compiled() noexcept {
    if (compiled_ != nullptr) litert_.destroy_compiled(compiled_);
    if (options_ != nullptr) litert_.destroy_options(options_);
    if (operators_ != nullptr) edgekit_litert_free(operators_);
    compiled_ = nullptr;
    options_ = nullptr;
    operators_ = nullptr;
  }

  // What the program is compiled with, and the operators of ours that it calls.
  void prepare_options() {
    release_compiled();
    prepared_for_ = pool_generation();
    const auto check = [&](int status) {
      if (status != litert::kOk) throw Failure(format("%s does not take an option.", library_.path().c_str()));
    };
    check(litert_.create_options(&options_));
    check(litert_.set_accelerators(options_, litert::kCpu));
    const auto add = [&](const char *name, const std::string &text) {
      void *opaque = nullptr;
      check(litert_.create_opaque_options(name, ::strdup(text.c_str()), std::free, &opaque));
      check(litert_.add_opaque_options(options_, opaque));
    };
    const int threads = pool_threads();
    add("xnnpack", format("num_threads = %d\n", threads));
    add("runtime_options_string", "error_reporter_mode = 2\n");  // errors are kept, to be asked for
    const edgekit_context context{nullptr, 0, threads, nullptr, nullptr};
    operators_ = edgekit_litert_add_operators(library_.handle(), model_, options_, &context);
    if (operators_ == nullptr)
      throw Failure(format("the program of %s cannot be run: %s", folder_.c_str(), edgekit_litert_last_error()));
  }

  // Operators' errors do not come back through LiteRT.
  void check_operators_ran(const std::string &where) {
    const char *error = edgekit_litert_run_error(operators_);
    if (error != nullptr) throw Failure(format("%s of %s failed: %s", where.c_str(), folder_.c_str(), error));
  }

  // The first line that LiteRT has kept, without a full stop.
  std::string reason() {
    std::string reason = "LiteRT gives no reason";
    char *text = nullptr;
    if (litert_.error_messages(compiled_, &text) == litert::kOk && text != nullptr) {
      const std::string lines = text;
      if (!lines.empty()) reason = lines.substr(0, lines.find('\n'));
      log(LogLevel::error, reason.c_str());
    }
    std::free(text);
    litert_.clear_errors(compiled_);
    while (!reason.empty() && reason.back() == '.') reason.pop_back();
    return reason;
  }

  void plan_state() {
    size_t size = 0;
    for (const StateText &state : text_.states) {
      places_.push_back(size);
      size += (state.bytes() + Block::kAlignment - 1) / Block::kAlignment * Block::kAlignment;
    }
    state_[0] = Block(heap_, size);
    state_[0].fill_zero();
    if (!in_place()) {
      state_[1] = Block(heap_, size);
      state_[1].fill_zero();
    }
    blocks_[0] = &state_[0];
    blocks_[1] = in_place() ? &state_[0] : &state_[1];
  }

  void *state_at(const Block *block, size_t state) const { return block->data() + places_[state]; }

  // The block that was written becomes the one that is read; states that the method does not know go along.
  void turn(const MethodText &text) {
    for (size_t state = 0; state < text_.states.size(); ++state)
      if (std::find(text.states.begin(), text.states.end(), state) == text.states.end())
        std::memcpy(state_at(blocks_[1 - from_], state), state_at(blocks_[from_], state), text_.states[state].bytes());
    from_ = 1 - from_;
  }

  [[noreturn]] void refuse(const MethodText &text) const {
    throw Failure(format("the program of %s has another method '%s' than its manifest says: export it again.",
                         folder_.c_str(), text.name.c_str()));
  }

  Signature find_signature(const MethodText &text) const {
    const auto check = [&](int status) {
      if (status != litert::kOk) refuse(text);
    };
    size_t count = 0;
    check(litert_.count_signatures(model_, &count));
    Signature found;
    void *signature = nullptr;
    for (; found.index < count; ++found.index) {
      const char *key = nullptr;
      check(litert_.signature(model_, found.index, &signature));
      check(litert_.signature_key(signature, &key));
      if (text.name == key) break;
    }
    if (found.index == count) refuse(text);
    void *subgraph = nullptr;
    check(litert_.signature_subgraph(signature, &subgraph));
    std::vector<void *> inputs, outputs;
    found.input_order = order(text, signature, "args_", text.inputs.size() + text.states.size(), litert_.count_inputs,
                              litert_.input_name, litert_.input_tensor, inputs);
    found.output_order = order(text, signature, "output_", text.outputs.size() + text.states.size(),
                               litert_.count_outputs, litert_.output_name, litert_.output_tensor, outputs);
    sort_by_subgraph(text, subgraph, litert_.subgraph_input, inputs, found.input_order);
    sort_by_subgraph(text, subgraph, litert_.subgraph_output, outputs, found.output_order);
    refuse_shared(text, inputs, outputs, found);
    const auto type_of = [&](const std::vector<void *> &tensors, const std::vector<size_t> &order, size_t wanted) {
      litert::TensorType type{};
      const size_t place = static_cast<size_t>(std::find(order.begin(), order.end(), wanted) - order.begin());
      check(litert_.tensor_type(tensors[place], &type));
      return type;
    };
    const std::string of_method = "' of method '" + text.name + "'";
    for (size_t input = 0; input < text.inputs.size(); ++input) {
      const TensorText &spec = text.inputs[input];
      found.inputs.emplace_back(litert_, folder_, "input '" + spec.name + of_method,
                                type_of(inputs, found.input_order, input), spec.dtype, spec.shape, spec.dynamic);
      found.dynamic = found.dynamic || spec.dynamic;
    }
    for (size_t output = 0; output < text.outputs.size(); ++output) {
      const TensorText &spec = text.outputs[output];
      found.outputs.emplace_back(litert_, folder_, "output '" + spec.name + of_method,
                                 type_of(outputs, found.output_order, output), spec.dtype, spec.shape, spec.dynamic);
    }
    for (size_t place = 0; place < text.states.size(); ++place) {
      const StateText &state = text_.states[text.states[place]];
      const std::string what = "state '" + state.name + of_method;
      found.states[0].emplace_back(litert_, folder_, what,
                                   type_of(inputs, found.input_order, text.inputs.size() + place), state.dtype,
                                   state.shape, false);
      found.states[1].emplace_back(litert_, folder_, what,
                                   type_of(outputs, found.output_order, text.outputs.size() + place), state.dtype,
                                   state.shape, false);
    }
    found.taken.resize(inputs.size());
    found.given.resize(outputs.size());
    found.layouts.resize(outputs.size());
    return found;
  }

  // The numbers behind a signature's names ("args_0"), and its tensors.
  template <typename Count, typename Name, typename OfTensor>
  std::vector<size_t> order(const MethodText &text, void *signature, const std::string &prefix, size_t wanted,
                            Count count_of, Name name_of, OfTensor tensor_of, std::vector<void *> &tensors) const {
    size_t count = 0;
    if (count_of(signature, &count) != litert::kOk || count != wanted) refuse(text);
    std::vector<size_t> numbers(count);
    tensors.resize(count);
    for (size_t index = 0; index < count; ++index) {
      const char *name = nullptr;
      if (name_of(signature, index, &name) != litert::kOk || tensor_of(signature, index, &tensors[index]) != litert::kOk)
        refuse(text);
      size_t number = 0;
      while (number < count && prefix + std::to_string(number) != name) ++number;
      if (number == count || std::count(numbers.begin(), numbers.begin() + static_cast<ptrdiff_t>(index), number) > 0)
        refuse(text);
      numbers[index] = number;
    }
    return numbers;
  }

  // A signature lists its tensors in another order than its graph, which is that of a run.
  template <typename OfSubgraph>
  void sort_by_subgraph(const MethodText &text, void *subgraph, OfSubgraph tensor_of, std::vector<void *> &tensors,
                        std::vector<size_t> &numbers) const {
    const std::vector<void *> listed = tensors;
    const std::vector<size_t> of_listed = numbers;
    std::vector<bool> used(listed.size());
    for (size_t place = 0; place < listed.size(); ++place) {
      if (tensor_of(subgraph, place, &tensors[place]) != litert::kOk) refuse(text);
      size_t index = 0;
      while (index < listed.size() && (used[index] || listed[index] != tensors[place])) ++index;
      if (index == listed.size()) refuse(text);
      used[index] = true;
      numbers[place] = of_listed[index];
    }
  }

  // A tensor that is more than one input or output has one memory only, where callers give one for each.
  void refuse_shared(const MethodText &text, const std::vector<void *> &inputs, const std::vector<void *> &outputs,
                     const Signature &found) const {
    for (size_t place = 0; place < outputs.size(); ++place) {
      bool shared = std::count(outputs.begin(), outputs.end(), outputs[place]) > 1;
      for (size_t input = 0; input < inputs.size(); ++input) {
        if (inputs[input] != outputs[place]) continue;
        const size_t taken = found.input_order[input], given = found.output_order[place];
        // A state that comes out as it went in may stay where it is.
        shared = shared || !in_place() || taken < text.inputs.size() ||
                 taken - text.inputs.size() + text.outputs.size() != given;
      }
      if (shared)
        throw Failure(format("method '%s' of %s gives one tensor as two outputs, or an input as an output: export it "
                             "again with a copy between them.",
                             text.name.c_str(), folder_.c_str()));
    }
  }

  // Lets LiteRT know how many rows the inputs have, and asks how many the outputs get.
  void resize(Signature &signature, const Tensor *inputs) {
    bool changed = false;
    for (size_t place = 0; place < signature.input_order.size(); ++place) {
      const size_t input = signature.input_order[place];
      if (input >= signature.inputs.size() || !signature.inputs[input].is_dynamic()) continue;
      End &end = signature.inputs[input];
      changed = changed || end.rows() != inputs[input].shape[0];
      end.set_rows(inputs[input].shape[0]);
      const litert::Layout &layout = end.layout();
      if (litert_.resize_input(compiled_, signature.index, place, layout.sizes, layout.rank) != litert::kOk)
        throw Failure(format("LiteRT does not take %lld rows: %s.", static_cast<long long>(end.rows()),
                             reason().c_str()));
    }
    if (litert_.output_layouts(compiled_, signature.index, signature.layouts.size(), signature.layouts.data(), true) !=
        litert::kOk)
      throw Failure(format("the program of %s cannot be prepared: %s.", folder_.c_str(), reason().c_str()));
    for (size_t place = 0; place < signature.output_order.size(); ++place) {
      const size_t output = signature.output_order[place];
      if (output < signature.outputs.size() && signature.outputs[output].is_dynamic())
        signature.outputs[output].set_rows(signature.layouts[place].sizes[0]);
    }
  }

  std::string folder_;
  ProgramText text_;
  Heap &heap_;
  DynamicLibrary library_;
  litert::Functions litert_;
  void *environment_ = nullptr, *compiled_ = nullptr;
  LiteRtModelT *model_ = nullptr;
  LiteRtOptionsT *options_ = nullptr;
  edgekit_litert_operators *operators_ = nullptr;
  unsigned prepared_for_ = 0;
  std::vector<Signature> signatures_;
  Block state_[2];
  Block *blocks_[2] = {};
  int from_ = 0;
  std::vector<size_t> places_;
  size_t program_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_litert_engine(const Bundle &bundle, Heap &heap) {
  return std::make_unique<LitertEngine>(bundle, heap);
}

}  // namespace edgekit
