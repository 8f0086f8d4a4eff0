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
#include "litert_signature.h"
#include "litert_tracer.h"

namespace edgekit {
namespace {

using litert::End;
using litert::Signature;

constexpr char kOurs[] = "edgekit.";

// The program as LiteRT runs it: all methods at once, with what it was compiled with and the operators of ours that it
// calls.
struct Compiled {
  void *model = nullptr;
  LiteRtOptionsT *options = nullptr;
  edgekit_litert_operators *operators = nullptr;
  unsigned prepared_for = 0;  // of the pool of threads
  std::unique_ptr<LitertTracer> tracer;
};

class LitertEngine final : public Engine {
 public:
  LitertEngine(const Bundle &bundle, Heap &heap)
      : folder_(bundle.folder()), text_(bundle.program()), heap_(heap), library_("litert"), litert_(library_) {
    check_operators();
    const std::string path = bundle.path(text_.file);
    program_bytes_ = file_size(path);
    // LiteRT reads beyond the end of a file that was cut off, and ends the process.
    const int64_t listed = bundle.manifest().part("files").part(text_.file.c_str()).integer("bytes", 0);
    if (program_bytes_ != static_cast<size_t>(listed))
      throw Failure(format("%s was changed after export: copy the bundle again or export it anew.", path.c_str()));
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
      for (const MethodText &method : text_.methods)
        signatures_.emplace_back(litert_, folder_, model_, text_, method);
    } catch (...) {
      close();
      throw;
    }
  }
  ~LitertEngine() override { close(); }

  // All methods are compiled at once.
  void load(size_t) override {
    Compiled &now = compiled();
    if (now.prepared_for != pool_generation() || now.options == nullptr) prepare_options();
    if (now.model != nullptr) return;
    const int status = litert_.create_compiled(environment_, model_, now.options, &now.model);
    const char *error = edgekit_litert_run_error(now.operators);
    if (status == litert::kOk && error == nullptr) {
      if (tracing_) now.tracer = std::make_unique<LitertTracer>(litert_, now.model, *trace_);
      return;
    }
    const std::string reason = error != nullptr ? error : "close something if memory is short, else install the "
                                                          "ai-edge-litert that edgekit names.";
    release(now);
    throw Failure(format("the program of %s cannot be loaded: %s", folder_.c_str(), reason.c_str()));
  }

  void run(size_t index, const Tensor *inputs, const Tensor *outputs, int64_t *rows) override {
    const MethodText &text = text_.methods[index];
    Signature &signature = signatures_[index];
    const Compiled &now = compiled();
    if (signature.dynamic && !signature.resize(now.model, inputs))
      throw Failure(format("method '%s' of %s cannot have so many rows: %s.", text.name.c_str(), folder_.c_str(),
                           reason().c_str()));
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
    if (now.tracer) now.tracer->begin();
    const int status = litert_.run(now.model, signature.index, signature.taken.size(), signature.taken.data(),
                                   signature.given.size(), signature.given.data());
    // LiteRT takes no notice of what operators of ours say.
    const char *error = edgekit_litert_run_error(now.operators);
    if (now.tracer) now.tracer->end(index, signature, status == litert::kOk && error == nullptr);
    if (error != nullptr)
      throw Failure(format("method '%s' of %s failed: %s", text.name.c_str(), folder_.c_str(), error));
    if (status != litert::kOk)
      throw Failure(format("method '%s' of %s failed: %s.", text.name.c_str(), folder_.c_str(), reason().c_str()));
    if (!in_place() && !text.states.empty()) turn(text);
    for (size_t output = 0; output < output_count; ++output) {
      signature.outputs[output].finish(outputs[output]);
      rows[output] = signature.outputs[output].rows();
    }
  }

  void trace(bool on) override {
    if (on && !trace_) trace_ = std::make_unique<TraceLog>();
    tracing_ = on;
  }

  std::unique_ptr<TraceLog> take_trace() override {
    tracing_ = false;
    if (traced_.tracer) traced_.tracer->drain();
    release(traced_);
    return trace_ ? std::move(trace_) : std::make_unique<TraceLog>();
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
  size_t scratch_bytes() const override {
    size_t size = 0;
    for (const Compiled *each : {&plain_, &traced_})
      if (each->operators != nullptr) size += edgekit_litert_scratch(each->operators);
    return size;
  }
  size_t scratch_of(size_t) const override { return scratch_bytes(); }

 private:
  Compiled &compiled() { return tracing_ ? traced_ : plain_; }

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
    release(plain_);
    release(traced_);
    signatures_.clear();
    if (model_ != nullptr) litert_.destroy_model(model_);
    if (environment_ != nullptr) litert_.destroy_environment(environment_);
  }

  void release(Compiled &each) noexcept {
    each.tracer.reset();
    if (each.model != nullptr) litert_.destroy_compiled(each.model);
    if (each.options != nullptr) litert_.destroy_options(each.options);
    if (each.operators != nullptr) edgekit_litert_free(each.operators);
    each = Compiled();
  }

  // What the program is compiled with, and the operators of ours that it calls.
  void prepare_options() {
    Compiled &now = compiled();
    if (now.tracer) now.tracer->drain();
    release(now);
    now.prepared_for = pool_generation();
    const auto check = [&](int status) {
      if (status != litert::kOk) throw Failure(format("%s does not take an option.", library_.path().c_str()));
    };
    check(litert_.create_options(&now.options));
    check(litert_.set_accelerators(now.options, litert::kCpu));
    const auto add = [&](const char *name, const std::string &text) {
      void *opaque = nullptr;
      check(litert_.create_opaque_options(name, ::strdup(text.c_str()), std::free, &opaque));
      check(litert_.add_opaque_options(now.options, opaque));
    };
    const int threads = pool_threads();
    // What XNNPACK packs then lies in one memory for all methods, and the file's own pages are let go. It is told apart
    // by the constants, not by activations' scales, which static int8 packs with the weights.
    const char *cache = text_.share_packed_weights ? "weight_cache_file_path = \":memory\"\n" : "";
    add("xnnpack", format("num_threads = %d\n%s", threads, cache));
    // Errors are kept, to be asked for.
    add("runtime_options_string", std::string("error_reporter_mode = 2\n") + (tracing_ ? LitertTracer::kProfiling : ""));
    // A step of a state machine is too little work to wake threads for: SEA-OPT's token took a quarter longer with two.
    const edgekit_context context{nullptr, 0, in_place() ? 1 : threads, nullptr, nullptr};
    now.operators = edgekit_litert_add_operators(library_.handle(), model_, now.options, &context);
    if (now.operators == nullptr)
      throw Failure(format("the program of %s cannot be run: %s", folder_.c_str(), edgekit_litert_last_error()));
  }

  // The first line that LiteRT has kept, without a full stop.
  std::string reason() {
    std::string reason = "LiteRT gives no reason";
    char *text = nullptr;
    if (litert_.error_messages(compiled().model, &text) == litert::kOk && text != nullptr) {
      const std::string lines = text;
      if (!lines.empty()) reason = lines.substr(0, lines.find('\n'));
      log(LogLevel::error, reason.c_str());
    }
    std::free(text);
    litert_.clear_errors(compiled().model);
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

  std::string folder_;
  ProgramText text_;
  Heap &heap_;
  DynamicLibrary library_;
  litert::Functions litert_;
  void *environment_ = nullptr;
  LiteRtModelT *model_ = nullptr;
  std::unique_ptr<TraceLog> trace_;  // outlives the tracer, which writes to it
  bool tracing_ = false;
  Compiled plain_, traced_;
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
