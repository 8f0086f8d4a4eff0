// The native half of Overhead.java: nanoseconds of one run of a bundle's first method, by C++ and by C.

#include <jni.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "edgekit/session.h"
#include "edgekit/session_c.h"

namespace {

using Clock = std::chrono::steady_clock;

edgekit::SessionPointer by_cpp;
edgekit_session *by_c = nullptr;
const char *method = nullptr;
std::vector<edgekit::Tensor> inputs, outputs;
std::vector<edgekit_tensor> c_inputs, c_outputs;

void take(const edgekit::TensorSpec &spec, std::vector<edgekit::Tensor> *tensors,
          std::vector<edgekit_tensor> *c_tensors) {
  size_t bytes = edgekit::size_of(spec.dtype);
  for (int place = 0; place < spec.rank; ++place) bytes *= static_cast<size_t>(spec.shape[place]);
  void *memory = std::calloc((bytes + 16 + 63) / 64, 64);  // the 16 are readable, too (session.h)
  tensors->push_back({memory, spec.dtype, spec.rank, spec.shape});
  c_tensors->push_back({memory, static_cast<edgekit_session_dtype>(spec.dtype), spec.rank, spec.shape});
}

[[noreturn]] void fail(const char *sentence) {
  std::fprintf(stderr, "%s\n", sentence);
  std::exit(1);
}

template <typename Run>
jlong timed(const Run &run) {
  const auto start = Clock::now();
  const bool done = run();
  const auto end = Clock::now();
  if (!done) fail(edgekit::last_error());
  return std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count();
}

}  // namespace

extern "C" JNIEXPORT void JNICALL Java_Overhead_open(JNIEnv *env, jclass, jbyteArray folder) {
  std::string path(static_cast<size_t>(env->GetArrayLength(folder)), '\0');
  env->GetByteArrayRegion(folder, 0, static_cast<jsize>(path.size()), reinterpret_cast<jbyte *>(path.data()));
  by_cpp = edgekit::Session::open(path.c_str());
  if (!by_cpp || edgekit_session_open(path.c_str(), nullptr, &by_c) != EDGEKIT_SESSION_OK) fail(edgekit::last_error());
  const edgekit::MethodSpec &first = by_cpp->method(0);
  method = first.name;
  for (int place = 0; place < first.input_count; ++place) take(first.inputs[place], &inputs, &c_inputs);
  for (int place = 0; place < first.output_count; ++place) take(first.outputs[place], &outputs, &c_outputs);
}

extern "C" JNIEXPORT jlong JNICALL Java_Overhead_cpp(JNIEnv *, jclass) {
  return timed([] {
    return by_cpp->run(method, inputs.data(), static_cast<int>(inputs.size()), outputs.data(),
                       static_cast<int>(outputs.size()));
  });
}

extern "C" JNIEXPORT jlong JNICALL Java_Overhead_c(JNIEnv *, jclass) {
  return timed([] {
    return edgekit_session_run(by_c, method, c_inputs.data(), static_cast<int>(c_inputs.size()), c_outputs.data(),
                               static_cast<int>(c_outputs.size()), nullptr) == EDGEKIT_SESSION_OK;
  });
}
