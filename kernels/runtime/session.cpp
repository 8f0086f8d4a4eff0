// Session: what is common to all engines. Shapes, names, states, and one call at a time.

#include "edgekit/session.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "core/bundle.h"
#include "core/dtype.h"
#include "core/dynamic_library.h"
#include "core/heap.h"
#include "core/turn.h"
#include "engines.h"
#include "gpu_use.h"
#include "threads.h"
#include "trace.h"

namespace edgekit {
namespace {

constexpr char kFirstState[] = "default";

// The public description of what a method's text says; the text owns the memory.
std::vector<TensorSpec> specs_of(const std::vector<TensorText> &texts) {
  std::vector<TensorSpec> specs;
  for (const TensorText &text : texts)
    specs.push_back({text.name.c_str(), text.dtype, static_cast<int>(text.shape.size()), text.shape.data(),
                     text.dynamic, text.units.c_str()});
  return specs;
}

bool fits(const TensorSpec &spec, const Tensor &tensor) {
  if (tensor.rank != spec.rank) return false;
  for (int dimension = 0; dimension < spec.rank; ++dimension) {
    const int64_t size = tensor.shape[dimension], most = spec.shape[dimension];
    if (spec.dynamic && dimension == 0 ? size < 1 || size > most : size != most) return false;
  }
  return true;
}

std::string wanted_shape(const TensorSpec &spec) {
  return (spec.dynamic ? "1.." : "") + shape_text(spec.shape, spec.rank);
}

int64_t count_of(const Tensor &tensor) {
  int64_t count = 1;
  for (int dimension = 0; dimension < tensor.rank; ++dimension) count *= tensor.shape[dimension];
  return count;
}

bool is_finite(const Tensor &tensor) {
  if (tensor.dtype != DType::float32) return true;
  const float *numbers = static_cast<const float *>(tensor.data);
  // A sum of zeros times the numbers is zero unless one of them is not finite; it goes over vectors.
  const int64_t count = count_of(tensor);
  float sums[8] = {};
  int64_t at = 0;
  for (; at + 8 <= count; at += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += 0.0f * numbers[at + lane];
  for (; at < count; ++at) sums[0] += 0.0f * numbers[at];
  for (const float sum : sums)
    if (sum != 0.0f) return false;
  return true;
}

}  // namespace

struct Session::Impl {
  Impl(const char *folder, const Options &options)
      : heap(options.allocator),
        bundle(folder, options.check_files, options.public_key),
        program(bundle.program()),
        task(bundle.task()),
        on_gpu(prepare_gpu(bundle, program)),
        engine(open_engine()),
        check_finite(options.check_finite) {
    for (const MethodText &text : program.methods) {
      inputs.push_back(specs_of(text.inputs));
      outputs.push_back(specs_of(text.outputs));
      methods.push_back({text.name.c_str(), static_cast<int>(inputs.back().size()), inputs.back().data(),
                         static_cast<int>(outputs.back().size()), outputs.back().data()});
      most_outputs = std::max(most_outputs, outputs.back().size());
    }
    written.resize(most_outputs);
  }

  std::unique_ptr<Engine> open_engine() {
    if (on_gpu) heap.use_gpu();
    const GpuTurn turn(on_gpu);
    return make_engine(bundle, heap);
  }

  // The state in use, for what is to be done with it.
  Block &state_for(Engine::StateUse use) {
    if (use != Engine::StateUse::replaced) check_state();
    engine->ready_state(use);
    return engine->state();
  }

  void check_state() const {
    if (lost_states.count(state_name) > 0)
      throw Failure(format("state '%s' was lost when the GPU failed: reset it, restore what was saved, or use another.",
                           state_name.c_str()));
  }

  // Runs a method. Where the GPU fails, what it changed is not used any more.
  void run(size_t index, const Tensor *given, const Tensor *taken) {
    if (!on_gpu) return engine->run(index, given, taken, written.data());
    check_state();
    const bool was_well = edgekit_gpu_find(nullptr);
    try {
      engine->run(index, given, taken, written.data());
    } catch (const Failure &) {
      if (was_well && !edgekit_gpu_find(nullptr) && engine->state().size() > 0) lost_states.insert(state_name);
      throw;
    }
  }

  size_t index_of(const char *name) const {
    for (size_t index = 0; index < methods.size(); ++index)
      if (std::strcmp(methods[index].name, name) == 0) return index;
    std::string known;
    for (const MethodSpec &method : methods) known += (known.empty() ? "" : ", ") + std::string(method.name);
    throw UsageFailure(format("there is no method '%s'; it has %s.", name, known.c_str()));
  }

  void check(const char *kind, const MethodSpec &method, const TensorSpec *specs, int wanted, const Tensor *tensors,
             int count) const {
    if (count != wanted)
      throw UsageFailure(format("method '%s' has %d %ss, %d were given.", method.name, wanted, kind, count));
    for (int index = 0; index < count; ++index) {
      const TensorSpec &spec = specs[index];
      const Tensor &tensor = tensors[index];
      if (tensor.rank < 0 || tensor.rank > static_cast<int>(kMostDimensions) || !fits(spec, tensor) ||
          tensor.dtype != spec.dtype)
        throw UsageFailure(format("%s '%s' of method '%s' is %s, %s %s is needed.", kind, spec.name, method.name,
                                  tensor.rank < 0 || tensor.rank > static_cast<int>(kMostDimensions)
                                      ? "no tensor"
                                      : tensor_text(tensor.dtype, tensor.shape, tensor.rank).c_str(),
                                  name_of(spec.dtype), wanted_shape(spec).c_str()));
      if (tensor.data == nullptr && count_of(tensor) > 0)
        throw UsageFailure(format("%s '%s' of method '%s' has no memory.", kind, spec.name, method.name));
    }
  }

  Heap heap;
  Bundle bundle;
  ProgramText program;
  std::string task;
  bool on_gpu;
  std::unique_ptr<Engine> engine;
  bool check_finite;
  std::vector<std::vector<TensorSpec>> inputs, outputs;
  std::vector<MethodSpec> methods;
  size_t most_outputs = 0;
  std::vector<int64_t> written;
  // States that are not in use; the one in use is the engine's.
  std::map<std::string, Block> others;
  std::string state_name = kFirstState;
  std::set<std::string> lost_states;
  std::atomic<bool> busy{false};
};

namespace {

constexpr char kTaken[] = "this session is in use by another thread: open a session for each, or take turns.";

}  // namespace

SessionPointer Session::open(const char *folder, const Options &options) noexcept {
  return guarded([&] { return SessionPointer(new Session(std::make_unique<Impl>(folder, options))); });
}

Session::Session(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Session::~Session() = default;

void SessionDeleter::operator()(Session *session) const noexcept { delete session; }

const char *Session::folder() const noexcept { return impl_->bundle.folder().c_str(); }

const char *Session::task() const noexcept { return impl_->task.c_str(); }

const char *Session::manifest() const noexcept { return impl_->bundle.text().c_str(); }

int Session::method_count() const noexcept { return static_cast<int>(impl_->methods.size()); }

const MethodSpec &Session::method(int index) const noexcept { return impl_->methods[static_cast<size_t>(index)]; }

const MethodSpec *Session::find_method(const char *name) const noexcept {
  for (const MethodSpec &method : impl_->methods)
    if (std::strcmp(method.name, name) == 0) return &method;
  return nullptr;
}

const MethodSpec *Session::find_method(const Tensor *inputs, int count) const noexcept {
  for (const MethodSpec &method : impl_->methods) {
    bool found = method.input_count == count;
    for (int index = 0; found && index < count; ++index) found = fits(method.inputs[index], inputs[index]);
    if (found) return &method;
  }
  return nullptr;
}

bool Session::load(const char *method) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    const size_t index = impl_->index_of(method);
    const Running running;
    const GpuTurn gpu(impl_->on_gpu);
    impl_->engine->load(index);
    return true;
  });
}

bool Session::run(const char *method, const Tensor *inputs, int input_count, const Tensor *outputs, int output_count,
                  int64_t *rows) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    const size_t index = impl_->index_of(method);
    const MethodSpec &spec = impl_->methods[index];
    impl_->check("input", spec, spec.inputs, spec.input_count, inputs, input_count);
    impl_->check("output", spec, spec.outputs, spec.output_count, outputs, output_count);
    if (impl_->check_finite)
      for (int input = 0; input < input_count; ++input)
        if (!is_finite(inputs[input]))
          throw UsageFailure(format("input '%s' of method '%s' has a value that is not finite: fill it or leave it out.",
                                    spec.inputs[input].name, spec.name));
    const Running running;
    const GpuTurn gpu(impl_->on_gpu);
    impl_->engine->load(index);
    impl_->run(index, inputs, outputs);
    if (rows != nullptr) std::copy_n(impl_->written.data(), output_count, rows);
    return true;
  });
}

bool Session::trace(bool on) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    impl_->engine->trace(on);
    return true;
  });
}

TracePointer Session::take_trace() noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    auto log = impl_->engine->take_trace();
    return TracePointer(new Trace(std::make_unique<Trace::Impl>(std::move(log), impl_->methods)));
  });
}

bool Session::use_state(const char *name) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    if (impl_->state_name == name) return true;
    const GpuTurn gpu(impl_->on_gpu);
    auto &others = impl_->others;
    const bool is_lost = impl_->lost_states.count(impl_->state_name) > 0;
    if (is_lost) impl_->engine->ready_state(Engine::StateUse::replaced);
    const Block &used = is_lost ? impl_->engine->state() : impl_->state_for(Engine::StateUse::changed);
    auto found = others.find(name);
    if (found == others.end()) {
      found = others.emplace(name, Block(impl_->heap, used.size())).first;
      found->second.fill_zero();
    }
    // The numbers change places, not the memory: the engine's methods point into theirs.
    auto node = others.extract(found);
    std::swap_ranges(used.data(), used.data() + used.size(), node.mapped().data());
    node.key().swap(impl_->state_name);
    others.insert(std::move(node));
    return true;
  });
}

const char *Session::state() const noexcept { return impl_->state_name.c_str(); }

bool Session::drop_state(const char *name) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    if (impl_->state_name == name)
      throw UsageFailure(format("state '%s' is in use: use another one first.", name));
    impl_->lost_states.erase(name);
    if (impl_->others.erase(name) == 0) throw UsageFailure(format("there is no state '%s'.", name));
    return true;
  });
}

bool Session::reset_state() noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    const GpuTurn gpu(impl_->on_gpu);
    impl_->state_for(Engine::StateUse::replaced).fill_zero();
    impl_->lost_states.erase(impl_->state_name);
    return true;
  });
}

size_t Session::state_size() const noexcept { return impl_->engine->state().size(); }

bool Session::save_state(void *to, size_t size) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    const GpuTurn gpu(impl_->on_gpu);
    const Block &state = impl_->engine->state();
    if (size != state.size())
      throw UsageFailure(format("the state has %zu bytes, room for %zu was given.", state.size(), size));
    if (size > 0) std::memcpy(to, impl_->state_for(Engine::StateUse::read).data(), size);
    return true;
  });
}

bool Session::restore_state(const void *from, size_t size) noexcept {
  return guarded([&] {
    const Turn turn(impl_->busy, kTaken);
    const GpuTurn gpu(impl_->on_gpu);
    const Block &state = impl_->engine->state();
    if (size != state.size())
      throw UsageFailure(format("the state has %zu bytes, %zu were given: was it saved by another bundle?",
                                state.size(), size));
    if (size > 0) std::memcpy(impl_->state_for(Engine::StateUse::replaced).data(), from, size);
    impl_->lost_states.erase(impl_->state_name);
    return true;
  });
}

Memory Session::memory() const noexcept {
  const Engine &engine = *impl_->engine;
  size_t state = impl_->engine->state().size();
  for (const auto &other : impl_->others) state += other.second.size();
  return {engine.program_bytes(), engine.arena_bytes(), state, engine.scratch_bytes(), engine.runtime_bytes(),
          impl_->heap.shared()};
}

size_t Session::required_scratch(const char *method) const noexcept {
  for (size_t index = 0; index < impl_->methods.size(); ++index)
    if (std::strcmp(impl_->methods[index].name, method) == 0) return impl_->engine->scratch_of(index);
  return 0;
}

bool Session::uses_gpu() const noexcept { return impl_->on_gpu && edgekit_gpu_find(nullptr); }

bool set_library(const char *runtime, const char *file) noexcept {
  return guarded([&] {
    set_runtime_library(runtime, file);
    return true;
  });
}

const char *runtime_version() noexcept { return EDGEKIT_VERSION; }

}  // namespace edgekit
