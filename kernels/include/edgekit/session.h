// A loaded bundle, ready to run: what an application on the device includes.
//
// Purpose. A bundle is the folder that `edgekit export` writes. A Session opens it, checks it, and runs its methods on
// memory that the caller owns. Tasks on top of it (text, images, sensor series) are in pipelines.h.
//
// Example. One image of 1 x 1 x 256 x 256 through the only method of a bundle:
//
//     edgekit::SessionPointer session = edgekit::Session::open("bundles/rpcanet-s1-raspberry-pi-5-int8");
//     if (!session) return fail(edgekit::last_error());
//     const int64_t shape[] = {1, 1, 256, 256};
//     edgekit::Tensor image{pixels, edgekit::DType::float32, 4, shape};
//     edgekit::Tensor logits{answer, edgekit::DType::float32, 4, shape};
//     if (!session->run("forward", &image, 1, &logits, 1)) return fail(edgekit::last_error());
//
// Errors. Nothing throws. A function that can fail gives false or a null pointer, and last_error() then has one sentence
// for the calling thread: what is wrong, where, what to do. A call that was refused changed nothing; one that failed in
// the middle may have written to its outputs and to the state. The session stays usable.
//
// Threads. Sessions of their own may be used at once. One session takes one call at a time; a second one, from another
// thread, fails at once and says so. What describes the bundle is safe at any time; state(), memory() and
// required_scratch() describe what the last call left, and are not for another thread while a call goes on.
//
// Memory. Inputs and outputs are the caller's, are read and written in place and not kept; they must not overlap. Kernels
// read whole vectors: the 16 bytes after an input's end must be readable, as they are but at the end of a mapping.
// Everything else that a session holds comes from Options::allocator; a run allocates nothing once every method that is
// used has run. That holds for .pte; of .tflite and .onnx the states and copies come from there, and their runtimes have
// memory of their own, which Memory does not count.
#ifndef EDGEKIT_SESSION_H
#define EDGEKIT_SESSION_H

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__GNUC__)
#define EDGEKIT_RUNTIME_API __attribute__((visibility("default")))
#else
#define EDGEKIT_RUNTIME_API
#endif

namespace edgekit {

// The calling thread's last error: one sentence, or "". Valid until its next failing call.
EDGEKIT_RUNTIME_API const char *last_error() noexcept;
// Whether it was the request that made no sense (an unknown name, a shape that no method takes), not the work that
// failed.
EDGEKIT_RUNTIME_API bool last_error_is_usage() noexcept;

// This library's version, such as "0.1.0".
EDGEKIT_RUNTIME_API const char *runtime_version() noexcept;

enum class DType : uint8_t { float32, float16, float64, int8, uint8, int16, int32, int64, boolean };

// Bytes of one element.
EDGEKIT_RUNTIME_API size_t size_of(DType dtype) noexcept;
// numpy's name for it, such as "float32".
EDGEKIT_RUNTIME_API const char *name_of(DType dtype) noexcept;

// A contiguous tensor in the caller's memory, last dimension innermost, aligned to 16 bytes at least.
struct Tensor {
  void *data;  // an input is only read
  DType dtype;
  int rank;
  const int64_t *shape;
};

// What a method takes or gives.
struct TensorSpec {
  const char *name;
  DType dtype;
  int rank;
  const int64_t *shape;  // the largest, where `dynamic`
  bool dynamic;          // whether the first dimension may be anything from 1 to what `shape` says
  const char *units;     // what the numbers mean, "" if unknown
};

struct MethodSpec {
  const char *name;
  int input_count;
  const TensorSpec *inputs;
  int output_count;
  const TensorSpec *outputs;
};

enum class LogLevel : uint8_t { debug, info, warning, error };

// Takes what the library and the runtime below it have to say, from any thread; nullptr silences, which is the default.
// For the whole process. `message` is one line, valid during the call.
using Log = void (*)(void *user, LogLevel level, const char *message);
EDGEKIT_RUNTIME_API void set_log(Log log, void *user, LogLevel least = LogLevel::info) noexcept;

// Threads that operators share, for the whole process: sessions take turns in them. 0: one for each core that the
// process may use. Fails while a session runs. Methods are then loaded anew when they run next.
EDGEKIT_RUNTIME_API bool set_threads(int count) noexcept;
// One thread for each of these cores (numbered as the system does), kept there together with the calling thread.
EDGEKIT_RUNTIME_API bool set_cores(const int *cores, int count) noexcept;
EDGEKIT_RUNTIME_API int threads() noexcept;

// The file that a runtime ("litert" for .tflite, "onnxruntime" for .onnx) is loaded from when the first program of its
// format is opened. Otherwise that is what EDGEKIT_LITERT or EDGEKIT_ONNXRUNTIME says, libLiteRt.so or libonnxruntime.so
// beside this library, or what the system's loader finds.
EDGEKIT_RUNTIME_API bool set_library(const char *runtime, const char *file) noexcept;

// Where a session's memory comes from; both or neither of the functions.
struct Allocator {
  void *(*allocate)(void *user, size_t size, size_t alignment) = nullptr;  // nullptr when there is none
  void (*release)(void *user, void *memory, size_t size) = nullptr;
  void *user = nullptr;
};

struct Options {
  bool check_files = true;   // compare every file with the manifest's hashes
  bool check_finite = true;  // refuse float32 inputs with an infinity or NaN
  Allocator allocator = {};
  // A file of public keys, one of which must have signed the bundle (`edgekit bundle sign`); nullptr asks for none. Files
  // are then compared whatever `check_files` says. EDGEKIT_REQUIRE_SIGNATURE in the environment names such a file for
  // every session of a process, beside this one.
  const char *public_key = nullptr;
};

// Bytes that a session holds now. Weights are mapped from the program's file, and the system may drop and reload what
// is not packed.
struct Memory {
  size_t program;  // the file: weights and graph
  size_t arena;    // planned for the tensors of all loaded methods
  size_t state;    // of all named states
  size_t scratch;  // of operators, as much as the largest call so far needed
  size_t runtime;  // the loaded methods' own records; what a delegate packs is not counted
  size_t shared;   // of arena and state: what a GPU's driver gave (gpu.h); what the GPU copies is not counted
};

// What traced runs consist of (trace.h).
class Trace;
struct TraceDeleter;

class Session;
struct SessionDeleter {
  EDGEKIT_RUNTIME_API void operator()(Session *session) const noexcept;
};
using SessionPointer = std::unique_ptr<Session, SessionDeleter>;

class EDGEKIT_RUNTIME_API Session {
 public:
  // Reads and checks a bundle; methods are loaded when first used.
  static SessionPointer open(const char *folder, const Options &options = {}) noexcept;

  const char *folder() const noexcept;
  // The task, such as "segment", and the manifest's text.
  const char *task() const noexcept;
  const char *manifest() const noexcept;

  int method_count() const noexcept;
  const MethodSpec &method(int index) const noexcept;
  // nullptr, and no error, if there is none.
  const MethodSpec *find_method(const char *name) const noexcept;
  // The method that takes tensors of these shapes.
  const MethodSpec *find_method(const Tensor *inputs, int count) const noexcept;

  // Loads a method, so that its first run takes no longer than the others.
  bool load(const char *method) noexcept;
  // Runs a method. Outputs have room for the largest shape; of those that are dynamic, `rows` (one number an output, may
  // be null) gets the first dimension that was written.
  bool run(const char *method, const Tensor *inputs, int input_count, const Tensor *outputs, int output_count,
           int64_t *rows = nullptr) noexcept;

  // Whether every operator of the runs to come is timed (trace.h). Traced runs have loaded methods of their own, which
  // take memory for themselves until take_trace().
  bool trace(bool on) noexcept;
  // The traced runs since the last one. Tracing is off afterwards.
  std::unique_ptr<Trace, TraceDeleter> take_trace() noexcept;

  // Named states: what methods remember from call to call, such as the cache of a conversation. They share the weights.
  // A session begins with the state "default"; use() makes a new name's state from zeros. Changing it costs a copy of
  // the state each way.
  bool use_state(const char *name) noexcept;
  const char *state() const noexcept;
  bool drop_state(const char *name) noexcept;
  // Zeros in the state in use.
  bool reset_state() noexcept;
  size_t state_size() const noexcept;
  // The state in use to and from `size` bytes. What was saved fits sessions of the same bundle only.
  bool save_state(void *to, size_t size) noexcept;
  bool restore_state(const void *from, size_t size) noexcept;

  // Whether operators of this session go to a GPU where that pays: its manifest or EDGEKIT_GPU=1 asks for it, and one can
  // be used. Which one, why none, and what went on there: gpu.h. After a failure of the GPU in a run the state in use is
  // lost: it is refused until it is reset or restored.
  bool uses_gpu() const noexcept;

  Memory memory() const noexcept;
  // Bytes of scratch that a method's operators needed in its largest call so far, 0 before the first.
  size_t required_scratch(const char *method) const noexcept;

  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

 private:
  friend struct SessionDeleter;
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl) noexcept;
  ~Session();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_SESSION_H
