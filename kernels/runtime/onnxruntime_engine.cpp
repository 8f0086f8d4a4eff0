#include "onnxruntime_engine.h"

#include <dirent.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/dynamic_library.h"
#include "core/files.h"
#include "core/log.h"
#include "core/text.h"
#include "core/version.h"
#include "executorch_engine.h"
#include "onnxruntime_api.h"
#include "onnxruntime_profile.h"
#include "threads.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

// A file of weights that several programs of a bundle name in themselves.
constexpr char kWeights[] = "program.weights";

void emit_log(void *, ort::Severity severity, const char *, const char *, const char *, const char *message) {
  const LogLevel ours = severity <= ort::Severity::info      ? LogLevel::debug
                        : severity == ort::Severity::warning ? LogLevel::warning
                                                             : LogLevel::error;
  log(ours, message);
}

// The library and what all of its sessions share; never given back, like the library itself.
class OnnxRuntime {
 public:
  static OnnxRuntime &get() {
    static std::mutex mutex;
    static auto *loaded = new std::map<std::string, OnnxRuntime *>;
    const std::lock_guard<std::mutex> lock(mutex);
    const DynamicLibrary library("onnxruntime");
    OnnxRuntime *&found = (*loaded)[library.path()];
    if (found == nullptr) found = new OnnxRuntime(library);
    return *found;
  }

  // Why something failed, in one line without a full stop; empty if it did not.
  std::string taken(ort::Status *status) const {
    if (status == nullptr) return {};
    std::string message = api.message(status);
    api.release_status(status);
    message = message.substr(0, message.find('\n'));
    while (!message.empty() && (message.back() == '.' || message.back() == ' ')) message.pop_back();
    return message.empty() ? "no reason given" : message;
  }

  // For what fails only where memory is short.
  void check(ort::Status *status) const {
    const std::string reason = taken(status);
    if (!reason.empty()) throw Failure(format("ONNX Runtime failed (%s): close something if memory is short.",
                                              reason.c_str()));
  }

  bool offers(const std::string &provider) const {
    return std::find(providers_.begin(), providers_.end(), provider) != providers_.end();
  }

  const std::string path, version;
  const ort::Api api;
  ort::Env *env = nullptr;
  ort::Allocator *allocator = nullptr;
  ort::MemoryInfo *memory = nullptr;

 private:
  explicit OnnxRuntime(const DynamicLibrary &library)
      : path(library.path()), version(base_of(library)->version()), api{table_of(library)} {
    check(api.create_env(emit_log, nullptr, ort::Severity::warning, "edgekit", &env));
    check(api.default_allocator(&allocator));
    constexpr int kDevice = 0, kDefault = 0;
    check(api.cpu_memory(kDevice, kDefault, &memory));
    char **names = nullptr;
    int count = 0;
    check(api.providers(&names, &count));
    providers_.assign(names, names + count);
    check(api.release_providers(names, count));
  }

  static const ort::Base *base_of(const DynamicLibrary &library) {
    return library.function<const ort::Base *(*)()>("OrtGetApiBase")();
  }

  static const void *const *table_of(const DynamicLibrary &library) {
    const ort::Base *base = base_of(library);
    const void *const *table = base->api(ort::kApiVersion);
    if (table == nullptr)
      throw Failure(format("%s is ONNX Runtime %s, 1.%u or newer is needed: install a newer one.",
                           library.path().c_str(), base->version(), ort::kApiVersion));
    return table;
  }

  std::vector<std::string> providers_;
};

// Something of the library's that is given back.
template <typename Type, auto kRelease>
class Owned {
 public:
  explicit Owned(const ort::Api &api) : api_(&api) {}
  Owned(Owned &&other) noexcept : api_(other.api_), held_(std::exchange(other.held_, nullptr)) {}
  Owned &operator=(Owned &&) = delete;
  ~Owned() {
    if (held_ != nullptr) (api_->*kRelease)(held_);
  }

  Type *get() const { return held_; }
  Type **out() { return &held_; }

 private:
  const ort::Api *api_;
  Type *held_ = nullptr;
};
using OwnedSession = Owned<ort::Session, &ort::Api::release_session>;
using OwnedOptions = Owned<ort::SessionOptions, &ort::Api::release_options>;
using OwnedValue = Owned<ort::Value, &ort::Api::release_value>;
using OwnedType = Owned<ort::TypeInfo, &ort::Api::release_type>;
using OwnedTensorInfo = Owned<ort::TensorInfo, &ort::Api::release_tensor_info>;
using OwnedTensorRt = Owned<ort::TensorRtOptions, &ort::Api::release_tensorrt>;
using OwnedCuda = Owned<ort::CudaOptions, &ort::Api::release_cuda>;

ort::Element element_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return ort::Element::float32;
    case DType::float16: return ort::Element::float16;
    case DType::float64: return ort::Element::float64;
    case DType::int8: return ort::Element::int8;
    case DType::uint8: return ort::Element::uint8;
    case DType::int16: return ort::Element::int16;
    case DType::int32: return ort::Element::int32;
    case DType::int64: return ort::Element::int64;
    case DType::boolean: return ort::Element::boolean;
  }
  return ort::Element::float32;
}

// What may run a program: its name in a manifest, for people, and in ONNX Runtime.
struct Provider {
  const char *name, *title, *runtime_name;
};
constexpr Provider kProviders[] = {
    {"tensorrt", "TensorRT", "TensorrtExecutionProvider"},
    {"cuda", "CUDA", "CUDAExecutionProvider"},
    {"cpu", "the CPU", "CPUExecutionProvider"},
};

// Where engines lie that took long to build: "" if the user has no such place.
std::string cache_folder() {
  const auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string ours = variable("EDGEKIT_CACHE"); !ours.empty()) return ours;
  if (const std::string users = variable("XDG_CACHE_HOME"); !users.empty()) return users + "/edgekit";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/edgekit";
  return {};
}

// The most memory that the process had resident so far, in bytes; 0 if that is not to be had.
uint64_t peak_resident() {
  std::FILE *file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
  std::fclose(file);
  return kilobytes * 1024;
}

std::vector<std::string> files_in(const std::string &folder) {
  std::vector<std::string> found;
  DIR *opened = folder.empty() ? nullptr : opendir(folder.c_str());
  if (opened == nullptr) return found;
  while (const dirent *entry = readdir(opened))
    if (const std::string path = folder + "/" + entry->d_name; is_file(path)) found.push_back(path);
  closedir(opened);
  return found;
}

struct LoadedProgram {
  explicit LoadedProgram(const ort::Api &api) : session(api) {}

  OwnedSession session;
  unsigned thread_changes = 0;
  // As in the program, the states' behind the others.
  std::vector<std::string> input_names, output_names;
  std::vector<const char *> input_pointers, output_pointers;
  // Of a traced one: where its file goes, and its runs in the log.
  std::unique_ptr<ProfileFolder> profile;
  std::vector<size_t> places;
};

class OnnxRuntimeEngine final : public Engine {
 public:
  OnnxRuntimeEngine(const Bundle &bundle, Heap &heap)
      : bundle_(bundle), folder_(bundle.folder()), text_(bundle.program()), runtime_(OnnxRuntime::get()) {
    check_version(bundle.manifest().part("minimum_runtime"));
    choose_providers();
    size_t size = 0;
    for (const StateText &state : text_.states) {
      places_.push_back(size);
      size += (state.bytes() + Block::kAlignment - 1) / Block::kAlignment * Block::kAlignment;
    }
    state_ = Block(heap, size);
    next_ = Block(heap, size);
    state_.fill_zero();
    next_.fill_zero();
    programs_.resize(text_.methods.size());
    traced_.resize(text_.methods.size());
    std::vector<std::string> files{kWeights};
    for (const MethodText &method : text_.methods) files.push_back(method.file);
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    for (const std::string &file : files)
      if (is_file(bundle.path(file))) program_bytes_ += file_size(bundle.path(file));
  }

  void load(size_t index) override {
    // A session keeps the threads that it was made with.
    std::unique_ptr<LoadedProgram> &place = slot(index);
    if (place && place->thread_changes == thread_changes()) return;
    if (place) end_profile(*place);
    place.reset();
    const MethodText &text = text_.methods[index];
    auto loaded = std::make_unique<LoadedProgram>(runtime_.api);
    loaded->thread_changes = thread_changes();
    OwnedOptions options(runtime_.api);
    runtime_.check(runtime_.api.create_options(options.out()));
    runtime_.check(runtime_.api.set_threads(options.get(), pool_threads()));
    // Else its threads are busy between calls: StackVAE-G once every 5 ms took 5.3 ms of the CPU a call instead of 0.3.
    runtime_.check(runtime_.api.configure(options.get(), "session.intra_op.allow_spinning", "0"));
    if (tracing_) {
      loaded->profile = std::make_unique<ProfileFolder>();
      runtime_.check(runtime_.api.enable_profiling(options.get(), loaded->profile->prefix().c_str()));
    }
    const std::string engines = append_providers(options.get(), text);
    open_session(text, options.get(), engines, loaded->session);
    find_ends(text, *loaded);
    place = std::move(loaded);
  }

  void run(size_t index, const Tensor *inputs, const Tensor *outputs, int64_t *rows) override {
    LoadedProgram &loaded = *slot(index);
    const MethodText &text = text_.methods[index];
    const ort::Api &api = runtime_.api;
    std::vector<OwnedValue> taken, given;
    for (size_t input = 0; input < text.inputs.size(); ++input) {
      const Tensor &tensor = inputs[input];
      taken.push_back(value(tensor.data, tensor.dtype, tensor.shape, static_cast<size_t>(tensor.rank)));
    }
    for (size_t output = 0; output < text.outputs.size(); ++output) {
      const TensorText &spec = text.outputs[output];
      // How many rows there will be is not known: the runtime makes them.
      if (spec.dynamic) {
        given.emplace_back(api);
      } else {
        given.push_back(value(outputs[output].data, spec.dtype, spec.shape.data(), spec.shape.size()));
      }
    }
    for (const size_t place : text.states) {
      const StateText &state = text_.states[place];
      taken.push_back(value(state_.data() + places_[place], state.dtype, state.shape.data(), state.shape.size()));
      given.push_back(value(next_.data() + places_[place], state.dtype, state.shape.data(), state.shape.size()));
    }
    std::vector<const ort::Value *> in;
    std::vector<ort::Value *> out;
    for (const OwnedValue &one : taken) in.push_back(one.get());
    for (const OwnedValue &one : given) out.push_back(one.get());
    const auto start = Clock::now();
    const std::string reason = runtime_.taken(api.run(loaded.session.get(), nullptr, loaded.input_pointers.data(),
                                                      in.data(), in.size(), loaded.output_pointers.data(), out.size(),
                                                      out.data()));
    if (loaded.profile) add_run(loaded, index, start, reason.empty());
    for (size_t output = 0; output < given.size(); ++output) *given[output].out() = out[output];
    if (!reason.empty())
      throw Failure(format("method '%s' of %s failed: %s.", text.name.c_str(), folder_.c_str(), reason.c_str()));
    for (size_t output = 0; output < text.outputs.size(); ++output) {
      const TensorText &spec = text.outputs[output];
      rows[output] = spec.dynamic ? copy(given[output], text, spec, outputs[output].data)
                                  : (spec.shape.empty() ? 1 : spec.shape[0]);
    }
    change_states(text);
  }

  void trace(bool on) override {
    if (on && !trace_) trace_ = std::make_unique<TraceLog>();
    tracing_ = on;
  }

  std::unique_ptr<TraceLog> take_trace() override {
    tracing_ = false;
    for (auto &loaded : traced_) {
      if (loaded) end_profile(*loaded);
      loaded.reset();
    }
    return trace_ ? std::move(trace_) : std::make_unique<TraceLog>();
  }

  Block &state() override { return state_; }
  size_t program_bytes() const override { return program_bytes_; }
  // What the runtime takes for tensors and weights it does not say.
  size_t arena_bytes() const override { return next_.size(); }
  size_t runtime_bytes() const override { return 0; }
  size_t scratch_bytes() const override { return 0; }
  size_t scratch_of(size_t) const override { return 0; }

 private:
  std::unique_ptr<LoadedProgram> &slot(size_t index) { return (tracing_ ? traced_ : programs_)[index]; }

  // A traced run's place in the log; its events are known when its session ends its profile.
  void add_run(LoadedProgram &loaded, size_t method, Clock::time_point start, bool done) {
    const std::chrono::duration<double, std::micro> took = Clock::now() - start;
    loaded.places.push_back(done ? trace_->runs.size() : kNoPlace);
    if (done) trace_->runs.push_back({method, took.count(), {}});
  }

  void end_profile(LoadedProgram &loaded) {
    if (!loaded.profile) return;
    char *file = nullptr;
    runtime_.check(runtime_.api.end_profiling(loaded.session.get(), runtime_.allocator, &file));
    const std::string path = file;
    runtime_.check(runtime_.api.free(runtime_.allocator, file));
    read_profile(path, loaded.places, *trace_);
  }

  void check_version(const JsonPart &minimum) const {
    if (!is_new_enough(minimum, "onnxruntime", runtime_.version))
      throw Failure(format("%s needs ONNX Runtime %s or newer, %s is %s: install a newer one.", folder_.c_str(),
                           minimum.text("onnxruntime").c_str(), runtime_.path.c_str(), runtime_.version.c_str()));
  }

  // Of what the manifest names, what this library has, in that order. "cpu" is what may always be fallen back on, and a
  // manifest without it says that nothing else will do.
  void choose_providers() {
    std::vector<std::string> missing;
    for (const std::string &name : text_.providers) {
      const auto *known = std::find_if(std::begin(kProviders), std::end(kProviders),
                                       [&](const Provider &provider) { return name == provider.name; });
      if (known == std::end(kProviders))
        throw Failure(format("%s is to be run by '%s', which this library does not know: install a newer "
                             "edgekit-runtime.",
                             folder_.c_str(), name.c_str()));
      if (known->name == std::string("cpu")) {
        cpu_ = true;
      } else if (runtime_.offers(known->runtime_name)) {
        providers_.push_back(known);
      } else {
        missing.push_back(known->title);
      }
    }
    cpu_ = cpu_ || text_.providers.empty();
    if (providers_.empty() && !cpu_)
      throw Failure(format("%s needs %s, which %s (ONNX Runtime %s) does not have: install an ONNX Runtime that has "
                           "it, or export for a device without it.",
                           folder_.c_str(), listed(missing).c_str(), runtime_.path.c_str(), runtime_.version.c_str()));
    if (!missing.empty())
      say_what_runs(missing, "does not have that; where the device does, name its ONNX Runtime in EDGEKIT_ONNXRUNTIME");
  }

  void say_what_runs(const std::vector<std::string> &missing, const std::string &reason) const {
    std::string used;
    for (const Provider *provider : providers_) used += (used.empty() ? "" : " and ") + std::string(provider->title);
    if (cpu_) used += (used.empty() ? "" : " and ") + std::string("the CPU");
    log(LogLevel::warning, format("%s is run by %s, without %s: %s (ONNX Runtime %s) %s.", folder_.c_str(),
                                  used.c_str(), listed(missing).c_str(), runtime_.path.c_str(),
                                  runtime_.version.c_str(), reason.c_str())
                               .c_str());
  }

  // Gives the folder of TensorRT's engines, "" where there is none. A provider that is there and does not start, such
  // as for want of a driver, is left out.
  std::string append_providers(ort::SessionOptions *options, const MethodText &text) {
    std::string engines;
    for (size_t place = 0; place < providers_.size();) {
      const Provider &provider = *providers_[place];
      const bool is_tensorrt = &provider == &kProviders[0];
      const std::string folder = is_tensorrt ? engine_folder(text) : "";
      const std::string reason = is_tensorrt ? append_tensorrt(options, folder) : append_cuda(options);
      if (reason.empty()) {
        engines += folder;
        ++place;
        continue;
      }
      const std::vector<std::string> missing{provider.title};
      providers_.erase(providers_.begin() + static_cast<std::ptrdiff_t>(place));
      if (providers_.empty() && !cpu_)
        throw Failure(format("%s needs %s, which does not start (%s): mend its installation, or export for a device "
                             "without it.",
                             folder_.c_str(), missing[0].c_str(), reason.c_str()));
      say_what_runs(missing, "cannot start it (" + reason + ")");
    }
    if (!cpu_) runtime_.check(runtime_.api.configure(options, "session.disable_cpu_ep_fallback", "1"));
    return engines;
  }

  // A session for a program; `engines` is the folder of TensorRT's.
  void open_session(const MethodText &text, const ort::SessionOptions *options, const std::string &engines,
                    OwnedSession &session) const {
    const std::string path = bundle_.path(text.file);
    const uint64_t peak_before = peak_resident();
    const auto start = Clock::now();
    const auto open = [&] {
      return runtime_.taken(runtime_.api.create_session(runtime_.env, path.c_str(), options, session.out()));
    };
    std::vector<std::string> found = files_in(engines);
    std::string reason = open();
    if (!reason.empty() && !found.empty()) {
      // They may be another TensorRT's, of before an update of the device.
      log(LogLevel::warning, format("the engine in %s cannot be used (%s): it is built anew.", engines.c_str(),
                                    reason.c_str())
                                 .c_str());
      for (const std::string &file : found) std::remove(file.c_str());
      found.clear();
      reason = open();
    }
    if (!reason.empty())
      throw Failure(format("%s cannot be loaded by ONNX Runtime %s (%s): close something if memory is short, else "
                           "export it again.",
                           path.c_str(), runtime_.version.c_str(), reason.c_str()));
    if (uses_tensorrt()) say_how_long(text, engines, !found.empty(), start, peak_before);
  }

  bool uses_tensorrt() const { return !providers_.empty() && providers_[0] == &kProviders[0]; }

  static void say_how_long(const MethodText &text, const std::string &engines, bool was_built, Clock::time_point start,
                           uint64_t peak_before) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double megabytes = 1e-6 * static_cast<double>(peak_resident() - peak_before);
    const std::string place =
        engines.empty() ? "there is no cache folder to keep it in: name one in EDGEKIT_CACHE" : "it lies in " + engines;
    log(LogLevel::info, format("TensorRT %s the engine of method '%s' in %.1f s, the process's peak memory grew by "
                               "%.0f MB; %s.",
                               was_built ? "loaded" : "built", text.name.c_str(), seconds, megabytes, place.c_str())
                            .c_str());
  }

  std::string engine_folder(const MethodText &text) const {
    const std::string cache = cache_folder();
    if (cache.empty()) return {};
    const JsonPart file(bundle_.manifest().part("files").value()[text.file], bundle_.path("manifest.json"));
    const std::string folder = cache + "/tensorrt/" + file.text("sha256");
    try {
      make_folders(folder);
    } catch (const Failure &failure) {
      log(LogLevel::warning, failure.what());
      return {};
    }
    return folder;
  }

  std::string append_tensorrt(ort::SessionOptions *options, const std::string &folder) const {
    const JsonPart manifest = bundle_.manifest();
    const auto number_is = [&](const char *name, const char *wanted) {
      return manifest.has("numbers") && manifest.part("numbers").has(name) &&
             manifest.part("numbers").text(name) == wanted;
    };
    const char *on = "1", *off = "0";
    const char *keys[] = {"trt_fp16_enable", "trt_int8_enable", "trt_engine_cache_enable", "trt_engine_cache_path"};
    // int8's ranges are in the program; weights in float16 say that its numbers will do.
    const char *values[] = {number_is("weights", "float16") ? on : off, number_is("activations", "int8") ? on : off,
                            folder.empty() ? off : on, folder.c_str()};
    OwnedTensorRt made(runtime_.api);
    std::string reason = runtime_.taken(runtime_.api.create_tensorrt(made.out()));
    if (reason.empty())
      reason = runtime_.taken(runtime_.api.update_tensorrt(made.get(), keys, values, folder.empty() ? 3 : 4));
    if (reason.empty()) reason = runtime_.taken(runtime_.api.append_tensorrt(options, made.get()));
    return reason;
  }

  std::string append_cuda(ort::SessionOptions *options) const {
    OwnedCuda made(runtime_.api);
    std::string reason = runtime_.taken(runtime_.api.create_cuda(made.out()));
    if (!reason.empty()) return reason;
    // Its shorter floats would cost three digits of fp32. ONNX Runtime before 1.17 does not know the option.
    const char *key = "use_tf32", *value = "0";
    const std::string ignored = runtime_.taken(runtime_.api.update_cuda(made.get(), &key, &value, 1));
    if (!ignored.empty()) log(LogLevel::debug, ignored.c_str());
    return runtime_.taken(runtime_.api.append_cuda(options, made.get()));
  }

  // The names of what goes in and comes out, which must be as the manifest says.
  void find_ends(const MethodText &text, LoadedProgram &loaded) const {
    const ort::Api &api = runtime_.api;
    const ort::Session *session = loaded.session.get();
    size_t inputs = 0, outputs = 0;
    runtime_.check(api.input_count(session, &inputs));
    runtime_.check(api.output_count(session, &outputs));
    const size_t states = text.states.size();
    bool fits = inputs == text.inputs.size() + states && outputs == text.outputs.size() + states;
    const auto end = [&](size_t index, const std::vector<TensorText> &specs, auto name_of, auto type_of,
                         std::vector<std::string> &names) {
      char *name = nullptr;
      runtime_.check(name_of(session, index, runtime_.allocator, &name));
      names.push_back(name);
      runtime_.check(api.free(runtime_.allocator, name));
      OwnedType type(api);
      runtime_.check(type_of(session, index, type.out()));
      if (index < specs.size()) return is_as(type.get(), specs[index].dtype, specs[index].shape, specs[index].dynamic);
      const StateText &state = text_.states[text.states[index - specs.size()]];
      return is_as(type.get(), state.dtype, state.shape, false);
    };
    for (size_t index = 0; fits && index < inputs; ++index)
      fits = end(index, text.inputs, api.input_name, api.input_type, loaded.input_names);
    for (size_t index = 0; fits && index < outputs; ++index)
      fits = end(index, text.outputs, api.output_name, api.output_type, loaded.output_names);
    if (!fits)
      throw Failure(format("the program of %s has another method '%s' than its manifest says: export it again.",
                           folder_.c_str(), text.name.c_str()));
    for (const std::string &name : loaded.input_names) loaded.input_pointers.push_back(name.c_str());
    for (const std::string &name : loaded.output_names) loaded.output_pointers.push_back(name.c_str());
  }

  bool is_as(const ort::TypeInfo *type, DType dtype, const std::vector<int64_t> &shape, bool dynamic) const {
    const ort::Api &api = runtime_.api;
    const ort::TensorInfo *tensor = nullptr;
    runtime_.check(api.tensor_of(type, &tensor));
    if (tensor == nullptr) return false;
    ort::Element element;
    size_t rank = 0;
    runtime_.check(api.element(tensor, &element));
    runtime_.check(api.rank(tensor, &rank));
    if (element != element_of(dtype) || rank != shape.size()) return false;
    std::vector<int64_t> sizes(rank);
    runtime_.check(api.shape(tensor, sizes.data(), rank));
    for (size_t dimension = 0; dimension < rank; ++dimension)
      if (sizes[dimension] != (dynamic && dimension == 0 ? -1 : shape[dimension])) return false;
    return true;
  }

  OwnedValue value(void *data, DType dtype, const int64_t *shape, size_t rank) const {
    size_t bytes = size_of(dtype);
    for (size_t dimension = 0; dimension < rank; ++dimension) bytes *= static_cast<size_t>(shape[dimension]);
    OwnedValue made(runtime_.api);
    const ort::Element element = element_of(dtype);
    runtime_.check(runtime_.api.create_tensor(runtime_.memory, data, bytes, shape, rank, element, made.out()));
    return made;
  }

  // What the runtime gave to where the caller wants it; gives its rows.
  int64_t copy(OwnedValue &given, const MethodText &text, const TensorText &spec, void *to) const {
    const ort::Api &api = runtime_.api;
    OwnedTensorInfo info(api);
    runtime_.check(api.tensor_of_value(given.get(), info.out()));
    size_t rank = 0;
    runtime_.check(api.rank(info.get(), &rank));
    std::vector<int64_t> sizes(rank);
    runtime_.check(api.shape(info.get(), sizes.data(), rank));
    bool fits = rank == spec.shape.size() && rank > 0 && sizes[0] <= spec.shape[0];
    size_t bytes = size_of(spec.dtype);
    for (size_t dimension = 0; fits && dimension < rank; ++dimension) {
      fits = dimension == 0 || sizes[dimension] == spec.shape[dimension];
      bytes *= static_cast<size_t>(sizes[dimension]);
    }
    if (!fits)
      throw Failure(format("method '%s' of %s gave output '%s' of another shape than its manifest says: export it "
                           "again.",
                           text.name.c_str(), folder_.c_str(), spec.name.c_str()));
    void *from = nullptr;
    runtime_.check(api.data(given.get(), &from));
    if (bytes > 0) std::memcpy(to, from, bytes);
    return sizes[0];
  }

  // What was written becomes what is read; states that the method does not know go with the others.
  void change_states(const MethodText &text) {
    if (text.states.empty()) return;
    for (size_t place = 0; place < text_.states.size(); ++place)
      if (std::find(text.states.begin(), text.states.end(), place) == text.states.end())
        std::memcpy(next_.data() + places_[place], state_.data() + places_[place], text_.states[place].bytes());
    state_.swap(next_);
  }

  const Bundle &bundle_;
  std::string folder_;
  ProgramText text_;
  const OnnxRuntime &runtime_;
  std::vector<const Provider *> providers_;
  bool cpu_ = false;
  // Of each state in the block.
  std::vector<size_t> places_;
  // What methods read, and what the next run writes.
  Block state_, next_;
  std::vector<std::unique_ptr<LoadedProgram>> programs_, traced_;
  std::unique_ptr<TraceLog> trace_;
  bool tracing_ = false;
  size_t program_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_onnxruntime_engine(const Bundle &bundle, Heap &heap) {
  return std::make_unique<OnnxRuntimeEngine>(bundle, heap);
}

}  // namespace edgekit
