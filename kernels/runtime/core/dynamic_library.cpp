#include "dynamic_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "failure.h"
#include "files.h"

namespace edgekit {

struct RuntimeName {
  const char *name, *title, *variable, *package;
  std::vector<const char *> files;
};

namespace {

const RuntimeName kRuntimes[] = {
    {"litert", "LiteRT", "EDGEKIT_LITERT", "ai-edge-litert", {"libLiteRt.so"}},
    {"onnxruntime", "ONNX Runtime", "EDGEKIT_ONNXRUNTIME", "onnxruntime", {"libonnxruntime.so.1", "libonnxruntime.so"}},
};

const RuntimeName &find(const std::string &runtime) {
  for (const RuntimeName &known : kRuntimes)
    if (runtime == known.name) return known;
  throw UsageFailure(format("there is no runtime '%s': it is litert or onnxruntime.", runtime.c_str()));
}

std::mutex mutex;
std::map<std::string, std::string> &chosen() {
  static std::map<std::string, std::string> files;
  return files;
}

// The folder that this library lies in.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

DynamicLibrary::DynamicLibrary(const char *runtime) : name_(find(runtime)) {
  std::string asked;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = chosen().find(runtime);
    if (found != chosen().end()) asked = found->second;
  }
  const char *variable = std::getenv(name_.variable);
  if (variable != nullptr && *variable != '\0') asked = variable;
  std::vector<std::string> places;
  if (!asked.empty()) {  // and nowhere else, or one would wonder which it was
    places.push_back(asked);
  } else {
    const std::string folder = own_folder();
    for (const char *file : name_.files)
      if (is_file(folder + "/" + file)) places.push_back(folder + "/" + file);
    for (const char *file : name_.files) places.emplace_back(file);
  }
  std::string reason;
  for (const std::string &place : places) {
    handle_ = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) {
      path_ = place;
      return;
    }
    const char *error = dlerror();
    if (reason.empty() && error != nullptr) reason = error;
  }
  throw Failure(format("%s, which runs this bundle's program, cannot be loaded (%s): put %s beside libedgekit_runtime.so, "
                       "or install %s (pip) or name the file in %s.",
                       name_.title, reason.c_str(), name_.files[0], name_.package, name_.variable));
}

void *DynamicLibrary::symbol(const char *name, bool optional) const {
  void *found = dlsym(handle_, name);
  if (found == nullptr && !optional)
    throw Failure(format("%s is too old or too new a %s: it lacks %s; take the one that edgekit's pyproject.toml pins.",
                         path_.c_str(), name_.title, name));
  return found;
}

void set_runtime_library(const std::string &runtime, const std::string &file) {
  const RuntimeName &known = find(runtime);
  const std::lock_guard<std::mutex> lock(mutex);
  chosen()[known.name] = file;
}

}  // namespace edgekit
