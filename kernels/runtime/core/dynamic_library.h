// Runtimes of others, which are loaded when the first program of their format is opened.
#pragma once

#include <string>

namespace edgekit {

// A runtime's shared library: where it is looked for, and its functions. It stays loaded until the process ends.
class DynamicLibrary {
 public:
  // `runtime` is "litert" or "onnxruntime". Throws Failure when the library is nowhere, or cannot be loaded.
  explicit DynamicLibrary(const char *runtime);

  const std::string &path() const { return path_; }
  // nullptr where `optional` and the library has none of that name; else throws Failure.
  template <typename Function>
  Function function(const char *name, bool optional = false) const {
    return reinterpret_cast<Function>(symbol(name, optional));
  }
  void *handle() const { return handle_; }

 private:
  void *symbol(const char *name, bool optional) const;

  const struct RuntimeName &name_;
  std::string path_;
  void *handle_ = nullptr;
};

// The file that a runtime is loaded from, before every other place; throws UsageFailure for an unknown runtime.
void set_runtime_library(const std::string &runtime, const std::string &file);

}  // namespace edgekit
