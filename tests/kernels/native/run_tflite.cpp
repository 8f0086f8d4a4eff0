// Runs a `.tflite` program's first signature on LiteRT's C interface, with edgekit's operators, as an application does:
//
//     run_tflite libLiteRt.so PROGRAM INPUTS OUTPUTS THREADS STATES
//
// INPUTS and OUTPUTS are files of tensors (tensors.h), in the order of the program. The last STATES inputs and outputs
// are the same memory. The program runs twice from the same inputs: before the second run, every page of a state that
// the first did not change is made read-only, so that a run which copies a state ends here. THREADS 0 lends the
// operators a function of this program's. A failure gives the sentence on stderr and exit code 1.

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "edgekit/litert.h"
#include "tensors.h"

namespace {

struct Layout {
  unsigned rank : 7, has_strides : 1;
  int32_t sizes[8];
  uint32_t strides[8];
};
struct TensorType {
  int32_t element;
  Layout layout;
};

void check(bool well, const std::string &what) {
  if (!well) throw std::runtime_error(what);
}

class LiteRt {
 public:
  explicit LiteRt(const char *file) : handle(dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    check(handle != nullptr, std::string("no LiteRT: ") + (handle == nullptr ? dlerror() : ""));
  }
  // Calls a function by name; all of those used give a status.
  template <typename... Arguments>
  void call(const char *name, Arguments... arguments) const {
    auto *function = reinterpret_cast<int (*)(Arguments...)>(dlsym(handle, name));
    check(function != nullptr, std::string("LiteRT has no ") + name);
    const int status = function(arguments...);
    check(status == 0, std::string(name) + " fails with status " + std::to_string(status));
  }
  // Gives something back, which has no status.
  void release(const char *name, void *what) const {
    if (what != nullptr) reinterpret_cast<void (*)(void *)>(dlsym(handle, name))(what);
  }
  void *const handle;
};

// What a run makes, given back in the order that LiteRT asks for.
struct Made {
  explicit Made(const LiteRt &litert) : litert(litert) {}
  Made(const Made &) = delete;
  ~Made() {
    for (void *buffer : inputs) litert.release("LiteRtDestroyTensorBuffer", buffer);
    for (void *buffer : outputs) litert.release("LiteRtDestroyTensorBuffer", buffer);
    litert.release("LiteRtDestroyCompiledModel", compiled);
    if (operators != nullptr) edgekit_litert_free(operators);
    litert.release("LiteRtDestroyOptions", options);
    litert.release("LiteRtDestroyModel", model);
    litert.release("LiteRtDestroyEnvironment", environment);
  }
  const LiteRt &litert;
  void *environment = nullptr, *compiled = nullptr;
  LiteRtModelT *model = nullptr;
  LiteRtOptionsT *options = nullptr;
  edgekit_litert_operators *operators = nullptr;
  std::vector<void *> inputs, outputs;
};

std::atomic<int> tasks_of_ours{0};

void run_tasks(void *, int tasks, void (*task)(void *, int), void *argument) {
  for (int index = tasks; index-- > 0; ++tasks_of_ours) task(argument, index);
}

size_t bytes_of(const TensorType &type) {
  size_t bytes = type.element == 9 ? 1 : type.element == 10 ? 2 : type.element == 4 ? 8 : 4;
  for (unsigned dimension = 0; dimension < type.layout.rank; ++dimension)
    bytes *= static_cast<size_t>(type.layout.sizes[dimension]);
  return bytes;
}

// Memory in pages of its own.
class Pages {
 public:
  explicit Pages(size_t size) : size_(size), length_((size + kPage) / kPage * kPage) {
    void *found = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(found != MAP_FAILED, "no memory");
    data_ = static_cast<char *>(found);
  }
  Pages(const Pages &) = delete;
  ~Pages() { munmap(data_, length_); }

  void fill(const Buffer &from) {
    mprotect(data_, length_, PROT_READ | PROT_WRITE);
    std::memcpy(data_, from.as(), size_);
  }
  // Goes back to what it was, and whatever is as it was may not be written.
  void protect(const Buffer &before) {
    const std::string after(data_, size_);
    fill(before);
    for (size_t start = 0; start < size_; start += kPage) {
      const size_t length = std::min(kPage, size_ - start);
      if (std::memcmp(after.data() + start, before.as<char>() + start, length) == 0)
        check(mprotect(data_ + start, kPage, PROT_READ) == 0, "pages cannot be protected");
    }
  }
  char *data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static inline const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t size_, length_;
  char *data_ = nullptr;
};

void run(char **arguments) {
  const LiteRt litert(arguments[1]);
  std::vector<std::unique_ptr<Pages>> memory;
  Made made(litert);
  void *signature = nullptr;
  litert.call("LiteRtCreateEnvironment", 0, static_cast<void *>(nullptr), &made.environment);
  litert.call("LiteRtCreateModelFromFile", made.environment, static_cast<const char *>(arguments[2]), &made.model);
  litert.call("LiteRtCreateOptions", &made.options);
  litert.call("LiteRtSetOptionsHardwareAccelerators", made.options, 1);
  const int count = std::stoi(arguments[5]);
  const edgekit_context ours{nullptr, 0, 2, run_tasks, nullptr}, pool{nullptr, 0, count, nullptr, nullptr};
  made.operators = edgekit_litert_add_operators(litert.handle, made.model, made.options, count == 0 ? &ours : &pool);
  check(made.operators != nullptr, edgekit_litert_last_error());
  const auto check_operators = [&] {
    const char *error = edgekit_litert_run_error(made.operators);
    check(error == nullptr, error == nullptr ? "" : error);
  };
  litert.call("LiteRtCreateCompiledModel", made.environment, made.model, made.options, &made.compiled);
  check_operators();

  const std::vector<Buffer> given = read_tensors(arguments[3]);
  size_t input_count = 0, output_count = 0;
  const size_t states = std::stoul(arguments[6]);
  litert.call("LiteRtGetModelSignature", made.model, size_t{0}, &signature);
  litert.call("LiteRtGetNumSignatureInputs", signature, &input_count);
  litert.call("LiteRtGetNumSignatureOutputs", signature, &output_count);
  check(given.size() == input_count, "the program takes " + std::to_string(input_count) + " inputs");
  const auto view = [&](const char *name, size_t index, char *at) {
    void *tensor = nullptr, *buffer = nullptr;
    TensorType type;
    litert.call(name, signature, index, &tensor);
    litert.call("LiteRtGetRankedTensorType", tensor, &type);
    if (at == nullptr) {
      memory.push_back(std::make_unique<Pages>(bytes_of(type)));
      at = memory.back()->data();
    }
    litert.call("LiteRtCreateTensorBufferFromHostMemory", &type, static_cast<void *>(at), bytes_of(type),
                static_cast<void (*)(void *)>(nullptr), &buffer);
    return buffer;
  };
  for (size_t index = 0; index < input_count; ++index)
    made.inputs.push_back(view("LiteRtGetSignatureInputTensorByIndex", index, nullptr));
  const size_t first_state = input_count - states, answers = output_count - states;
  for (size_t index = 0; index < output_count; ++index)
    made.outputs.push_back(view("LiteRtGetSignatureOutputTensorByIndex", index,
                           index < answers ? nullptr : memory[first_state + index - answers]->data()));
  for (int repetition = 0; repetition < 2; ++repetition) {
    for (size_t index = 0; index < input_count; ++index) {
      check(given[index].size() == memory[index]->size(), "input " + std::to_string(index) + " has another size");
      if (repetition == 0 || index < first_state) {
        memory[index]->fill(given[index]);
      } else {
        memory[index]->protect(given[index]);
      }
    }
    litert.call("LiteRtRunCompiledModel", made.compiled, size_t{0}, input_count, made.inputs.data(), output_count,
                made.outputs.data());
    check_operators();
  }
  check(count > 0 || tasks_of_ours > 0, "the function of this program was not called");
  std::ofstream file(arguments[4], std::ios::binary);
  for (size_t index = 0; index < output_count; ++index) {
    const Pages &from = *memory[index < answers ? input_count + index : first_state + index - answers];
    write_tensor(file, from.data(), static_cast<int64_t>(from.size()));
  }
  std::printf("%zu\n", edgekit_litert_scratch(made.operators));
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 7) {
    std::fprintf(stderr, "usage: run_tflite libLiteRt.so PROGRAM INPUTS OUTPUTS THREADS STATES\n");
    return 2;
  }
  try {
    run(arguments);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
