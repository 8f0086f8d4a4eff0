// An ONNX Runtime that says it has TensorRT and CUDA: the real one, named by REAL_ONNXRUNTIME, whose table is changed
// so that these providers are offered, and that what is asked of them is written to the file CALLS. The CPU runs it.
//
// FAIL names a provider that does not start ("tensorrt", "cuda"); OLD=1 makes it a release of before the version of the
// API that is asked for. A session that is made with TensorRT leaves an engine in its cache folder, as TensorRT would;
// with UPDATED=1 one that lies there already is of another version. With OFFERS=1 the providers are offered, and all
// that is asked of them goes to the real one, which says that it does not have them.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using Status = void;
struct Base {
  void *const *(*api)(uint32_t);
  const char *(*version)();
};

const Base *real;
void *table[209];
std::string cache;

std::string variable(const char *name) {
  const char *value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void record(const std::string &line) {
  std::FILE *file = std::fopen(variable("CALLS").c_str(), "a");
  std::fprintf(file, "%s\n", line.c_str());
  std::fclose(file);
}

Status *error(const char *sentence) {
  using Create = Status *(*)(int, const char *);
  return reinterpret_cast<Create>(table[0])(1, sentence);
}
Status *failing(const char *provider) {
  return variable("FAIL") == provider ? error("no such device: the driver is not loaded.") : nullptr;
}

Status *providers(char ***names, int *count) {
  static const char *known[] = {"TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"};
  *names = const_cast<char **>(known);
  *count = 3;
  return nullptr;
}
Status *release_providers(char **, int) { return nullptr; }

Status *create(void **out) {
  *out = new int;
  return nullptr;
}
void release(void *options) { delete static_cast<int *>(options); }

Status *update(const char *provider, const char *const *keys, const char *const *values, size_t count) {
  for (size_t index = 0; index < count; ++index) {
    record(std::string(provider) + " " + keys[index] + "=" + values[index]);
    if (std::strcmp(keys[index], "trt_engine_cache_path") == 0) cache = values[index];
  }
  return nullptr;
}
Status *update_tensorrt(void *, const char *const *keys, const char *const *values, size_t count) {
  return update("tensorrt", keys, values, count);
}
Status *update_cuda(void *, const char *const *keys, const char *const *values, size_t count) {
  return update("cuda", keys, values, count);
}
Status *append_tensorrt(void *, const void *) {
  record("tensorrt appended");
  return failing("tensorrt");
}
Status *append_cuda(void *, const void *) {
  record("cuda appended");
  return failing("cuda");
}
Status *configure(void *options, const char *key, const char *value) {
  record(std::string("options ") + key + "=" + value);
  using Configure = Status *(*)(void *, const char *, const char *);
  return reinterpret_cast<Configure>(real->api(11)[130])(options, key, value);
}
Status *create_session(const void *env, const char *path, const void *options, void **out) {
  record("session");
  if (!cache.empty()) {
    const std::string path = cache + "/graph.engine";
    if (variable("UPDATED") == "1" && access(path.c_str(), F_OK) == 0) return error("the engine is of TensorRT 8.");
    std::FILE *engine = std::fopen(path.c_str(), "w");
    if (engine != nullptr) std::fclose(engine);
  }
  using Create = Status *(*)(const void *, const char *, const void *, void **);
  return reinterpret_cast<Create>(real->api(11)[7])(env, path, options, out);
}

void *const *api(uint32_t wanted) {
  if (variable("OLD") == "1" && wanted > 10) return nullptr;
  std::memcpy(table, real->api(wanted), sizeof table);
  table[125] = reinterpret_cast<void *>(providers);
  table[126] = reinterpret_cast<void *>(release_providers);
  if (variable("OFFERS") == "1") return table;
  table[7] = reinterpret_cast<void *>(create_session);
  table[130] = reinterpret_cast<void *>(configure);
  table[170] = reinterpret_cast<void *>(append_tensorrt);
  table[171] = table[205] = reinterpret_cast<void *>(create);
  table[172] = reinterpret_cast<void *>(update_tensorrt);
  table[174] = table[208] = reinterpret_cast<void *>(release);
  table[204] = reinterpret_cast<void *>(append_cuda);
  table[206] = reinterpret_cast<void *>(update_cuda);
  return table;
}
const char *version() { return variable("OLD") == "1" ? "1.10.0" : real->version(); }

}  // namespace

extern "C" __attribute__((visibility("default"))) const Base *OrtGetApiBase() {
  void *library = dlopen(variable("REAL_ONNXRUNTIME").c_str(), RTLD_NOW | RTLD_LOCAL);
  real = reinterpret_cast<const Base *(*)()>(dlsym(library, "OrtGetApiBase"))();
  static const Base base = {api, version};
  return &base;
}
