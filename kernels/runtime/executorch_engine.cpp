#include "executorch_engine.h"

#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/backend/options.h>
#include <executorch/runtime/core/hierarchical_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/kernel/operator_registry.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>

#include "core/dtype.h"
#include "core/files.h"
#include "core/log.h"
#include "core/version.h"
#include "executorch_tracer.h"
#include "gpu_use.h"
#include "program_calls.h"

// The wheel has the library and not this header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t new_thread_count);
};
ThreadPool *get_threadpool();
}  // namespace executorch::extension::threadpool

namespace edgekit {
namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::extension::MmapDataLoader;

// Loads parts of a program's file. Weights that operators on a GPU are given are told to it as constant, for as long as
// this lives.
class ProgramLoader final : public et::DataLoader {
 public:
  ProgramLoader(MmapDataLoader file, bool uses_gpu) : file_(std::move(file)), uses_gpu_(uses_gpu) {}
  ~ProgramLoader() override {
    for (const void *memory : kept_) edgekit_gpu_forget(memory);
  }

  et::Result<et::FreeableBuffer> load(size_t offset, size_t size, const SegmentInfo &segment) const override {
    auto loaded = file_.load(offset, size, segment);
    if (uses_gpu_ && loaded.ok() && loaded->size() > 0 && segment.segment_type == SegmentInfo::Type::Constant) {
      edgekit_gpu_keep(loaded->data(), loaded->size(), EDGEKIT_GPU_CONSTANT);
      kept_.push_back(loaded->data());
    }
    return loaded;
  }
  et::Error load_into(size_t offset, size_t size, const SegmentInfo &segment, void *buffer) const override {
    return file_.load_into(offset, size, segment, buffer);
  }
  et::Result<size_t> size() const override { return file_.size(); }

 private:
  MmapDataLoader file_;
  bool uses_gpu_;
  mutable std::vector<const void *> kept_;
};

// What we throw where ExecuTorch would end the process: its kernels, and its readers of a program that is damaged.
struct Aborted : Failure {
  Aborted() : Failure("ExecuTorch gave up on a program that it cannot run: export the bundle again.") {}
};

// How deep the calling thread is in calls of ours. What ExecuTorch logs outside of them is somebody else's, such as its
// Python package's, and goes the way that it would go without us.
thread_local int calls = 0;
et::PalImpl others = {};

void emit_log(et_timestamp_t time, et_pal_log_level_t level, const char *file, const char *function, size_t line,
              const char *message, size_t length) {
  if (calls == 0) return others.emit_log_message(time, level, file, function, line, message, length);
  const LogLevel ours = level == kDebug ? LogLevel::debug : level == kInfo ? LogLevel::info : LogLevel::error;
  log(ours, message);
}

// Portable kernels abort on some values that they cannot take, such as an index beyond a table. The way out is through
// their frames, whose unwind tables both platforms' calling conventions ask for; what they held is lost.
void abort_call() {
  if (calls == 0) others.abort();
  throw Aborted{};
}

// Puts us before whoever has ExecuTorch's table of functions: its Python package registers its own when it is imported,
// and register_pal() tells every second caller on stderr.
void take_functions() {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  auto *functions = const_cast<et::PalImpl *>(et::get_pal_impl());
  if (functions->emit_log_message != emit_log) {
    others.emit_log_message = functions->emit_log_message;
    functions->emit_log_message = emit_log;
  }
  if (functions->abort != abort_call) {
    others.abort = functions->abort;
    functions->abort = abort_call;
  }
}

// A call into ExecuTorch, which collects its errors.
class RuntimeCall : public ErrorLog {
 public:
  RuntimeCall() {
    static const bool started = (et::runtime_init(), true);
    (void)started;
    take_functions();
    ++calls;
  }
  ~RuntimeCall() { --calls; }
};

ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return ScalarType::Float;
    case DType::float16: return ScalarType::Half;
    case DType::float64: return ScalarType::Double;
    case DType::int8: return ScalarType::Char;
    case DType::uint8: return ScalarType::Byte;
    case DType::int16: return ScalarType::Short;
    case DType::int32: return ScalarType::Int;
    case DType::int64: return ScalarType::Long;
    case DType::boolean: return ScalarType::Bool;
  }
  return ScalarType::Undefined;
}

// Memory that grows while it is new, and is one piece as soon as it has been used once: operators' scratch, which is
// given back after every operator, and what a method keeps.
class GrowingMemory final : public et::MemoryAllocator {
 public:
  explicit GrowingMemory(Heap &heap) : et::MemoryAllocator(0, nullptr), heap_(heap) {}

  void *allocate(size_t size, size_t alignment) override {
    if (size == 0) size = 1;
    const size_t start = (used_ + alignment - 1) / alignment * alignment;
    // Blocks begin at a multiple of kAlignment, and nothing asks for more than that.
    if (!blocks_.empty() && alignment <= Block::kAlignment && start + size <= blocks_.back().size()) {
      used_ = start + size;
      most_ = std::max(most_, full_ + used_);
      return blocks_.back().data() + start;
    }
    try {
      if (used_ == 0 && blocks_.size() == 1) blocks_.clear();  // too small, and never both at once
      Block block(heap_, std::max(size, kLeast));
      full_ += (used_ + Block::kAlignment - 1) / Block::kAlignment * Block::kAlignment;
      blocks_.push_back(std::move(block));
    } catch (const std::bad_alloc &) {
      log(LogLevel::error, "there is no more memory");
      return nullptr;
    }
    used_ = size;
    most_ = std::max(most_, full_ + used_);
    return blocks_.back().data();
  }

  // Everything is free again, in one block that is large enough for what was used.
  void reset() override {
    const size_t size = full_ + used_;
    used_ = full_ = 0;
    if (blocks_.size() <= 1) return;
    blocks_.clear();
    try {
      blocks_.emplace_back(heap_, size);
    } catch (const std::bad_alloc &) {  // the next operator will say so
    }
  }

  size_t held() const {
    size_t size = 0;
    for (const Block &block : blocks_) size += block.size();
    return size;
  }
  // Bytes that were in use at once since start_counting().
  size_t most() const { return most_; }
  void start_counting() { most_ = 0; }

 private:
  static constexpr size_t kLeast = 4096;

  Heap &heap_;
  std::vector<Block> blocks_;
  size_t used_ = 0, full_ = 0, most_ = 0;
};

// How often the pool of threads was made anew. A delegate keeps the pool that there was when its method was loaded.
std::atomic<unsigned> pool_changes{0};

struct LoadedMethod {
  explicit LoadedMethod(Heap &heap) : memory(heap), pool(pool_changes) {}

  std::unique_ptr<ExecutorchTracer> tracer;  // of a traced one; the method tells it until its end
  GrowingMemory memory;
  std::vector<et::Span<uint8_t>> buffers;
  std::optional<et::HierarchicalAllocator> planned;
  std::optional<et::MemoryManager> manager;
  std::optional<et::Method> method;
  std::vector<bool> input_planned, output_planned;
  // Where operators go to a GPU, what each instruction needs of what they wrote; else nothing.
  enum class Need : uint8_t { nothing, hand_over, state };
  std::vector<Need> needs;
  bool gives_state = false;  // as an output
  unsigned pool;
  size_t scratch = 0;
};

// The program whose sessions share packed weights now. XNNPACK's cache is one for the process and knows weights by their
// bytes alone, although it packs biases with them: of two programs with the same weights and other biases the second would
// get the first one's.
class WeightSharing {
 public:
  WeightSharing() = default;
  WeightSharing(const WeightSharing &) = delete;
  ~WeightSharing() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (joined_) --sessions;
  }

  // Whether a session of this program may share; not while those of another do.
  bool join(const std::string &program) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (sessions > 0 && program != shared) return false;
    shared = program;
    ++sessions;
    return joined_ = true;
  }

 private:
  static inline std::mutex mutex;
  static inline std::string shared;
  static inline int sessions = 0;
  bool joined_ = false;
};

class ExecutorchEngine final : public Engine {
 public:
  ExecutorchEngine(const Bundle &bundle, Heap &heap)
      : folder_(bundle.folder()), text_(bundle.program()), heap_(heap), scratch_(heap) {
    const RuntimeCall errors;
    check_version(bundle.manifest().part("minimum_runtime"));
    check_operators();
    const std::string path = bundle.path(text_.file);
    try {
      open(bundle, path, errors);
    } catch (const Aborted &) {
      throw cannot_load(path, errors);
    }
  }

  ~ExecutorchEngine() override {
    if (heap_.uses_gpu()) edgekit_gpu_forget(state_.data());
  }

  void ready_state(StateUse use) override {
    if (!heap_.uses_gpu() || state_.size() == 0) return;
    if (use == StateUse::replaced) {
      edgekit_gpu_forget(state_.data());
      keep_state();
    } else if (fetch_state(use == StateUse::changed) != EDGEKIT_OK) {
      throw Failure(std::string(edgekit_last_error()) + ".");
    }
  }

  void load(size_t index) override {
    std::unique_ptr<LoadedMethod> &place = slot(index);
    if (place && place->pool == pool_changes) return;
    place.reset();
    const MethodText &text = text_.methods[index];
    const RuntimeCall errors;
    try {
      place = loaded_method(index, text, errors);
    } catch (const Aborted &) {
      throw cannot_load(text, errors);
    }
  }

  void run(size_t index, const Tensor *inputs, const Tensor *outputs, int64_t *rows) override {
    LoadedMethod &loaded = *slot(index);
    et::Method &method = *loaded.method;
    const MethodText &text = text_.methods[index];
    const RuntimeCall errors;
    const auto check = [&](et::Error error) {
      if (error != et::Error::Ok) throw failed(text, error, errors);
    };
    for (size_t input = 0; input < text.inputs.size(); ++input) check(set_input(method, inputs[input], input));
    for (size_t output = 0; output < text.outputs.size(); ++output) {
      if (loaded.output_planned[output]) continue;
      const TensorText &spec = text.outputs[output];
      size_t bytes = size_of(spec.dtype);
      for (const int64_t size : spec.shape) bytes *= static_cast<size_t>(size);
      check(method.set_output_data_ptr(outputs[output].data, bytes, output));
    }
    scratch_.start_counting();
    try {
      if (loaded.tracer) loaded.tracer->begin();
      const et::Error error = loaded.needs.empty() ? method.execute() : step_through(loaded, text, errors);
      if (loaded.tracer) loaded.tracer->end(error == et::Error::Ok);
      check(error);
      for (size_t output = 0; output < text.outputs.size(); ++output) {
        const auto &tensor = method.get_output(output).toTensor();
        if (loaded.output_planned[output]) std::memcpy(outputs[output].data, tensor.const_data_ptr(), tensor.nbytes());
        rows[output] = tensor.dim() > 0 ? tensor.size(0) : 1;
      }
    } catch (const Aborted &) {
      unload_broken(index);
      throw failed(text, et::Error::Internal, errors);
    } catch (const Failure &) {
      unload_broken(index);
      throw;
    }
    scratch_.reset();
    loaded.scratch = std::max(loaded.scratch, scratch_.most());
  }

  void trace(bool on) override {
    if (on && !trace_) trace_ = std::make_unique<TraceLog>();
    tracing_ = on;
  }

  std::unique_ptr<TraceLog> take_trace() override {
    const RuntimeCall call;
    for (auto &loaded : traced_) loaded.reset();
    tracing_ = false;
    return trace_ ? std::move(trace_) : std::make_unique<TraceLog>();
  }

  Block &state() override { return state_; }
  size_t program_bytes() const override { return program_bytes_; }
  size_t arena_bytes() const override {
    size_t size = 0;
    for (const Block &block : arena_) size += block.size();
    return size;
  }
  size_t runtime_bytes() const override {
    size_t size = 0;
    for (const auto *all : {&methods_, &traced_})
      for (const auto &loaded : *all)
        if (loaded) size += loaded->memory.held();
    return size;
  }
  size_t scratch_bytes() const override { return scratch_.held(); }
  size_t scratch_of(size_t method) const override { return methods_[method] ? methods_[method]->scratch : 0; }

 private:
  // The program, and room for what it needs. Throws Aborted, too, where it is damaged.
  void open(const Bundle &bundle, const std::string &path, const RuntimeCall &errors) {
    auto loader = MmapDataLoader::from(path.c_str(), MmapDataLoader::MlockConfig::NoMlock);
    if (!loader.ok()) throw cannot_load(path, errors);
    loader_.emplace(std::move(*loader), heap_.uses_gpu());
    auto program = et::Program::load(&*loader_, et::Program::Verification::InternalConsistency);
    if (!program.ok()) throw cannot_load(path, errors);
    program_.emplace(std::move(*program));
    program_bytes_ = file_size(path);
    methods_.resize(text_.methods.size());
    traced_.resize(text_.methods.size());
    share_packed_weights(bundle.manifest().part("files").part(text_.file.c_str()).text("sha256"));
    plan(bundle.state() > 0);
  }

  // As above.
  std::unique_ptr<LoadedMethod> loaded_method(size_t index, const MethodText &text, const RuntimeCall &errors) {
    auto loaded = std::make_unique<LoadedMethod>(heap_);
    const et::MethodMeta meta = metadata(text);
    const size_t count = meta.num_memory_planned_buffers();
    for (size_t buffer = 0; buffer < count; ++buffer) {
      const size_t size = static_cast<size_t>(*meta.memory_planned_buffer_size(buffer));
      const bool is_state = state_.size() > 0 && buffer + 1 == count;
      Block &block = is_state ? state_ : arena_[buffer];
      loaded->buffers.push_back({block.data(), size});
    }
    loaded->planned.emplace(et::Span<et::Span<uint8_t>>(loaded->buffers.data(), loaded->buffers.size()));
    loaded->manager.emplace(&loaded->memory, &*loaded->planned, &scratch_);
    if (tracing_) loaded->tracer = std::make_unique<ExecutorchTracer>(*trace_, index, calls_of(text).chains);
    if (heap_.uses_gpu()) {
      const MethodCalls calls = calls_of(text);
      loaded->needs = needs_of(calls, count - 1);
      loaded->gives_state = has(calls.output_buffers, count - 1);
    }
    auto method = program_->load_method(text.name.c_str(), &*loaded->manager, loaded->tracer.get(), nullptr,
                                        &delegate_options_);
    if (!method.ok()) throw cannot_load(text, errors);
    loaded->method.emplace(std::move(*method));
    for (size_t input = 0; input < text.inputs.size(); ++input)
      loaded->input_planned.push_back(meta.input_tensor_meta(input)->is_memory_planned());
    for (size_t output = 0; output < text.outputs.size(); ++output)
      loaded->output_planned.push_back(meta.output_tensor_meta(output)->is_memory_planned());
    scratch_.reset();
    return loaded;
  }

  // It stands in the middle of its work: the next run loads it anew.
  void unload_broken(size_t index) {
    scratch_.reset();
    slot(index).reset();
  }

  static bool has(const std::vector<size_t> &buffers, size_t buffer) {
    return std::find(buffers.begin(), buffers.end(), buffer) != buffers.end();
  }

  // By step of the method; nothing where the order of steps is not that in the program, so that operators wait for the
  // GPU themselves. `state` is the state's planned buffer.
  static std::vector<LoadedMethod::Need> needs_of(const MethodCalls &calls, size_t state) {
    using Need = LoadedMethod::Need;
    std::vector<Need> found;
    for (const auto &chain : calls.chains) {
      if (chain.empty()) found.push_back(Need::nothing);  // a step like others
      for (const CallText &call : chain) {
        if (call.name.empty()) return {};
        const bool is_free = !call.is_delegate && (runs_on_gpu(call.name) || reads_no_tensor(call.name));
        found.push_back(is_free ? Need::nothing : has(call.buffers, state) ? Need::state : Need::hand_over);
      }
    }
    return found;
  }

  // Executes a method. Between operators that go to a GPU nobody waits for it; a traced method's wait, for their times.
  // Throws Failure, and leaves the method where it stands.
  et::Error step_through(LoadedMethod &loaded, const MethodText &text, const ErrorLog &errors) {
    const auto check_gpu = [&](edgekit_status status) {
      if (status != EDGEKIT_OK)
        throw Failure(format("method '%s' of %s failed: %s", text.name.c_str(), folder_.c_str(), edgekit_last_error()));
    };
    GpuDeferral deferral(loaded.tracer == nullptr);
    et::Error error = et::Error::Ok;
    for (size_t step = 0; error == et::Error::Ok; ++step) {
      const auto need = step < loaded.needs.size() ? loaded.needs[step] : LoadedMethod::Need::nothing;
      if (need != LoadedMethod::Need::nothing) check_gpu(edgekit_gpu_hand_over());
      if (need == LoadedMethod::Need::state) check_gpu(fetch_state(true));
      error = loaded.method->step();
    }
    if (error != et::Error::EndOfMethod) throw failed(text, error, errors);
    check_gpu(deferral.end());
    if (loaded.gives_state) check_gpu(fetch_state(false));
    return loaded.method->reset_execution();
  }

  std::unique_ptr<LoadedMethod> &slot(size_t index) { return (tracing_ ? traced_ : methods_)[index]; }

  MethodCalls calls_of(const MethodText &text) const {
    const RuntimeCall errors;
    const std::string path = folder_ + "/" + text_.file;
    const auto head = loader_->load(0, program_bytes_, et::DataLoader::SegmentInfo(et::DataLoader::SegmentInfo::Type::Program));
    if (!head.ok()) throw cannot_load(path, errors);
    return program_calls(head->data(), head->size(), text.name, path);
  }

  void check_version(const JsonPart &minimum) const {
    if (!is_new_enough(minimum, "executorch", EDGEKIT_EXECUTORCH_VERSION))
      throw Failure(format("%s needs ExecuTorch %s or newer, this runtime has %s: install a newer edgekit-runtime.",
                           folder_.c_str(), minimum.text("executorch").c_str(), EDGEKIT_EXECUTORCH_VERSION));
  }

  void check_operators() const {
    std::string missing;
    const auto miss = [&](const std::string &name) { missing += (missing.empty() ? "" : ", ") + name; };
    const auto kernels = et::get_registered_kernels();
    for (const std::string &name : text_.operators) {
      const bool found =
          std::any_of(kernels.begin(), kernels.end(), [&](const et::Kernel &kernel) { return kernel.name_ == name; });
      if (!found) miss(name);
    }
    for (const std::string &name : text_.delegates)
      if (et::get_backend_class(name.c_str()) == nullptr) miss(name);
    if (!missing.empty())
      throw Failure(format("%s needs %s, which this runtime does not have: install the edgekit-runtime that fits "
                           "the edgekit that made the bundle.",
                           folder_.c_str(), missing.c_str()));
  }

  // XNNPACK then packs what it finds under the same name, which is a hash of the bytes, once in the process: for all
  // methods, and for all sessions of the program. It takes no notice of activations' scales, which static int8 packs with
  // the weights.
  void share_packed_weights(const std::string &program) {
    if (!text_.share_packed_weights || !sharing_.join(program)) return;
    if (xnnpack_options_.set_option("weight_cache_enabled", true) != et::Error::Ok ||
        delegate_options_.set_options("XnnpackBackend", xnnpack_options_.view()) != et::Error::Ok)
      log(LogLevel::warning, "each method packs its weights for itself");
  }

  // Whether a tensor of the program is what the manifest says: callers' memory has that size.
  static bool is_same(const et::Result<et::TensorInfo> &found, const TensorText &text) {
    if (!found.ok() || found->scalar_type() != scalar_type(text.dtype)) return false;
    const auto sizes = found->sizes();
    return std::equal(sizes.begin(), sizes.end(), text.shape.begin(), text.shape.end());
  }

  static bool is_same(const et::MethodMeta &found, const MethodText &text) {
    if (found.num_inputs() != text.inputs.size() || found.num_outputs() != text.outputs.size()) return false;
    for (size_t index = 0; index < text.inputs.size(); ++index)
      if (!is_same(found.input_tensor_meta(index), text.inputs[index])) return false;
    for (size_t index = 0; index < text.outputs.size(); ++index)
      if (!is_same(found.output_tensor_meta(index), text.outputs[index])) return false;
    return true;
  }

  et::MethodMeta metadata(const MethodText &text) const {
    auto meta = program_->method_meta(text.name.c_str());
    if (!meta.ok() || !is_same(*meta, text))
      throw Failure(format("the program of %s has another method '%s' than its manifest says: export it again.",
                           folder_.c_str(), text.name.c_str()));
    return *meta;
  }

  // Room for the planned tensors. Methods run one at a time, so that they share it; what they remember from call to
  // call lies in the last buffer of each (ExecuTorch's share_mutable_buffers).
  void plan(bool has_state) {
    std::vector<size_t> sizes;
    size_t state = 0;
    for (const MethodText &text : text_.methods) {
      const et::MethodMeta meta = metadata(text);
      const size_t count = meta.num_memory_planned_buffers();
      for (size_t buffer = 0; buffer < count; ++buffer) {
        const size_t size = static_cast<size_t>(*meta.memory_planned_buffer_size(buffer));
        if (has_state && buffer + 1 == count) {
          state = std::max(state, size);
        } else {
          sizes.resize(std::max(sizes.size(), buffer + 1));
          sizes[buffer] = std::max(sizes[buffer], size);
        }
      }
    }
    for (const size_t size : sizes) arena_.emplace_back(heap_, size, true);
    state_ = Block(heap_, state, true);
    state_.fill_zero();
    gpu_keeps_state_ = heap_.uses_gpu() && state > 0 && knows_who_touches_state();
    keep_state();
  }

  void keep_state() {
    if (gpu_keeps_state_) edgekit_gpu_keep(state_.data(), state_.size(), EDGEKIT_GPU_STATE);
  }

  edgekit_status fetch_state(bool changes) {
    return gpu_keeps_state_ ? edgekit_gpu_fetch(state_.data(), state_.size(), changes) : EDGEKIT_OK;
  }

  // Whether it is known which steps touch the state: a GPU with memory of its own may keep it then.
  bool knows_who_touches_state() const {
    for (const MethodText &text : text_.methods) {
      const size_t state = metadata(text).num_memory_planned_buffers() - 1;
      const MethodCalls calls = calls_of(text);
      if (needs_of(calls, state).empty()) return false;
      for (const auto &chain : calls.chains)
        for (const CallText &call : chain)  // a view of it is another tensor
          if (has(call.buffers, state) && reads_no_tensor(call.name)) return false;
    }
    return true;
  }

  static et::Error set_input(et::Method &method, const Tensor &input, size_t index) {
    executorch::aten::SizesType sizes[kMostDimensions];
    executorch::aten::DimOrderType order[kMostDimensions];
    executorch::aten::StridesType strides[kMostDimensions];
    executorch::aten::StridesType stride = 1;
    for (int dimension = input.rank - 1; dimension >= 0; --dimension) {
      sizes[dimension] = static_cast<executorch::aten::SizesType>(input.shape[dimension]);
      order[dimension] = static_cast<executorch::aten::DimOrderType>(dimension);
      strides[dimension] = stride;
      stride *= sizes[dimension];
    }
    // The method takes over its size and address, not the description itself.
    executorch::aten::TensorImpl tensor(scalar_type(input.dtype), input.rank, sizes, input.data, order, strides);
    return method.set_input(et::EValue(executorch::aten::Tensor(&tensor)), index);
  }

  Failure cannot_load(const std::string &path, const ErrorLog &errors) const {
    return Failure(format("%s cannot be loaded (%s): close something if memory is short, else export it again.",
                          path.c_str(), errors.reason().c_str()));
  }

  Failure cannot_load(const MethodText &text, const ErrorLog &errors) const {
    return Failure(format("method '%s' of %s cannot be loaded (%s): close something if memory is short, else install "
                          "the edgekit-runtime that fits the bundle.",
                          text.name.c_str(), folder_.c_str(), errors.reason().c_str()));
  }

  Failure failed(const MethodText &text, et::Error error, const ErrorLog &errors) const {
    if (error == et::Error::MemoryAllocationFailed)
      return Failure(format("method '%s' of %s has not enough memory (%s): close something, or export it smaller.",
                            text.name.c_str(), folder_.c_str(), errors.reason().c_str()));
    return Failure(format("method '%s' of %s failed: %s.", text.name.c_str(), folder_.c_str(),
                          errors.reason().c_str()));
  }

  std::string folder_;
  ProgramText text_;
  Heap &heap_;
  GrowingMemory scratch_;
  std::vector<Block> arena_;
  Block state_;
  bool gpu_keeps_state_ = false;
  std::optional<ProgramLoader> loader_;
  std::optional<et::Program> program_;
  WeightSharing sharing_;  // outlives the methods
  et::BackendOptions<1> xnnpack_options_;
  et::LoadBackendOptionsMap delegate_options_;
  std::unique_ptr<TraceLog> trace_;  // outlives those of traced_, which write to it
  bool tracing_ = false;
  std::vector<std::unique_ptr<LoadedMethod>> methods_, traced_;
  size_t program_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_executorch_engine(const Bundle &bundle, Heap &heap) {
  return std::make_unique<ExecutorchEngine>(bundle, heap);
}

void set_pool_threads(int count) {
  const RuntimeCall call;
  auto *pool = executorch::extension::threadpool::get_threadpool();
  ++pool_changes;
  if (pool == nullptr || !pool->_unsafe_reset_threadpool(static_cast<uint32_t>(count)))
    throw Failure(format("the thread pool cannot have %d threads: give fewer.", count));
}

unsigned pool_generation() { return pool_changes; }

int pool_threads() {
  const RuntimeCall call;
  const auto *pool = executorch::extension::threadpool::get_threadpool();
  return pool == nullptr ? 1 : static_cast<int>(pool->get_thread_count());
}

}  // namespace edgekit
