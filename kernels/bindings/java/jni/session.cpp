// Sessions: dev.edgekit.Session.

#include <vector>

#include "java.h"

using namespace edgekit_java;

namespace {

constexpr uintptr_t kAlignment = 16;  // of tensors (session.h)

// A tensor of the C interface on a direct buffer's memory.
bool fill(JNIEnv *env, jobjectArray buffers, jsize index, jint offset, const edgekit_tensor_spec &spec,
          const int64_t *shape, edgekit_tensor *tensor) {
  const jobject buffer = env->GetObjectArrayElement(buffers, index);
  void *const address = buffer == nullptr ? nullptr : env->GetDirectBufferAddress(buffer);
  env->DeleteLocalRef(buffer);
  if (address == nullptr) {
    refuse(env, "java/lang/IllegalArgumentException", "a tensor is no direct buffer: TensorSpec.allocate() makes one.");
    return false;
  }
  char *const data = static_cast<char *>(address) + offset;
  if (reinterpret_cast<uintptr_t>(data) % kAlignment != 0) {
    refuse(env, "java/lang/IllegalArgumentException",
           "a tensor does not begin at a multiple of 16 bytes: TensorSpec.allocate() makes a buffer that does.");
    return false;
  }
  *tensor = {data, spec.dtype, spec.rank, shape};
  return true;
}

// {name, numbers, units} of a tensor into an array, from `at` on.
bool describe(JNIEnv *env, const edgekit_tensor_spec &spec, jobjectArray into, jsize at) {
  std::vector<jlong> numbers = {spec.dtype, spec.dynamic};
  numbers.insert(numbers.end(), spec.shape, spec.shape + spec.rank);
  const auto count = static_cast<jsize>(numbers.size());
  const jobject name = bytes(env, spec.name), units = bytes(env, spec.units);
  const jlongArray array = env->NewLongArray(count);
  if (name == nullptr || units == nullptr || array == nullptr) return false;
  env->SetLongArrayRegion(array, 0, count, numbers.data());
  env->SetObjectArrayElement(into, at, name);
  env->SetObjectArrayElement(into, at + 1, array);
  env->SetObjectArrayElement(into, at + 2, units);
  env->DeleteLocalRef(name);
  env->DeleteLocalRef(array);
  env->DeleteLocalRef(units);
  return true;
}

jobjectArray describe(JNIEnv *env, const edgekit_session *session, int index) {
  int inputs = 0, outputs = 0;
  const char *name = edgekit_session_method(session, index, &inputs, &outputs);
  const jobjectArray found = env->NewObjectArray(1 + 3 * (inputs + outputs), java().objects, nullptr);
  const jobject called = found == nullptr ? nullptr : bytes(env, name);
  if (called == nullptr) return nullptr;
  env->SetObjectArrayElement(found, 0, called);
  env->DeleteLocalRef(called);
  for (int place = 0; place < inputs + outputs; ++place) {
    edgekit_tensor_spec spec;
    if (!done(env, place < inputs ? edgekit_session_input(session, name, place, &spec)
                                  : edgekit_session_output(session, name, place - inputs, &spec)) ||
        !describe(env, spec, found, 1 + 3 * place))
      return nullptr;
  }
  return found;
}

}  // namespace

EDGEKIT_JAVA(jlong, openSession)
(JNIEnv *env, jclass, jbyteArray folder, jboolean check_files, jboolean check_finite, jbyteArray public_keys) {
  const std::string path = text(env, folder), keys = public_keys == nullptr ? std::string() : text(env, public_keys);
  edgekit_session_options options = {};
  options.skip_file_check = !check_files;
  options.skip_finite_check = !check_finite;
  options.public_key = public_keys == nullptr ? nullptr : keys.c_str();
  edgekit_session *session = nullptr;
  done(env, edgekit_session_open(path.c_str(), &options, &session));
  return to(session);
}

EDGEKIT_JAVA(void, closeSession)(JNIEnv *, jclass, jlong session) {
  edgekit_session_close(from<edgekit_session>(session));
}

EDGEKIT_JAVA(jbyteArray, task)(JNIEnv *env, jclass, jlong session) {
  return bytes(env, edgekit_session_task(from<edgekit_session>(session)));
}

EDGEKIT_JAVA(jbyteArray, manifest)(JNIEnv *env, jclass, jlong session) {
  return bytes(env, edgekit_session_manifest(from<edgekit_session>(session)));
}

EDGEKIT_JAVA(jobjectArray, methods)(JNIEnv *env, jclass, jlong session) {
  const auto *opened = from<const edgekit_session>(session);
  const int count = edgekit_session_method_count(opened);
  const jobjectArray found = env->NewObjectArray(count, java().objects, nullptr);
  for (int index = 0; found != nullptr && index < count; ++index) {
    const jobjectArray one = describe(env, opened, index);
    if (one == nullptr) return nullptr;
    env->SetObjectArrayElement(found, index, one);
    env->DeleteLocalRef(one);
  }
  return found;
}

EDGEKIT_JAVA(jintArray, inputCounts)(JNIEnv *env, jclass, jlong session) {
  std::vector<jint> counts(static_cast<size_t>(edgekit_session_method_count(from<edgekit_session>(session))));
  const auto count = static_cast<jsize>(counts.size());
  for (jsize index = 0; index < count; ++index)
    edgekit_session_method(from<edgekit_session>(session), index, &counts[static_cast<size_t>(index)], nullptr);
  const jintArray found = env->NewIntArray(count);
  if (found != nullptr) env->SetIntArrayRegion(found, 0, count, counts.data());
  return found;
}

EDGEKIT_JAVA(void, load)(JNIEnv *env, jclass, jlong session, jbyteArray method) {
  const std::string name = text(env, method);
  done(env, edgekit_session_load(from<edgekit_session>(session), name.c_str()));
}

EDGEKIT_JAVA(jlongArray, run)
(JNIEnv *env, jclass, jlong session, jbyteArray method, jobjectArray inputs, jintArray input_offsets, jlongArray rows,
 jobjectArray outputs, jintArray output_offsets) {
  const std::string name = text(env, method);
  auto *const opened = from<edgekit_session>(session);
  const jsize given = env->GetArrayLength(inputs), taken = env->GetArrayLength(outputs);
  std::vector<jint> offsets(static_cast<size_t>(given + taken));
  std::vector<jlong> first(static_cast<size_t>(given));
  env->GetIntArrayRegion(input_offsets, 0, given, offsets.data());
  env->GetIntArrayRegion(output_offsets, 0, taken, offsets.data() + given);
  env->GetLongArrayRegion(rows, 0, given, first.data());
  std::vector<edgekit_tensor> tensors(static_cast<size_t>(given + taken));
  std::vector<std::vector<int64_t>> shapes(static_cast<size_t>(given));
  for (jsize place = 0; place < given + taken; ++place) {
    const auto at = static_cast<size_t>(place);
    const bool is_input = place < given;
    edgekit_tensor_spec spec;
    if (!done(env, is_input ? edgekit_session_input(opened, name.c_str(), place, &spec)
                            : edgekit_session_output(opened, name.c_str(), place - given, &spec)))
      return nullptr;
    const int64_t *shape = spec.shape;
    if (is_input && spec.dynamic) {
      shapes[at].assign(spec.shape, spec.shape + spec.rank);
      shapes[at][0] = first[at];
      shape = shapes[at].data();
    }
    if (!fill(env, is_input ? inputs : outputs, is_input ? place : place - given, offsets[at], spec, shape, &tensors[at]))
      return nullptr;
  }
  std::vector<int64_t> written(static_cast<size_t>(taken));
  if (!done(env, edgekit_session_run(opened, name.c_str(), tensors.data(), given, tensors.data() + given, taken,
                                     written.data())))
    return nullptr;
  const jlongArray found = env->NewLongArray(taken);
  const std::vector<jlong> numbers(written.begin(), written.end());
  if (found != nullptr) env->SetLongArrayRegion(found, 0, taken, numbers.data());
  return found;
}

EDGEKIT_JAVA(void, useState)(JNIEnv *env, jclass, jlong session, jbyteArray name) {
  const std::string called = text(env, name);
  done(env, edgekit_session_use_state(from<edgekit_session>(session), called.c_str()));
}

EDGEKIT_JAVA(void, dropState)(JNIEnv *env, jclass, jlong session, jbyteArray name) {
  const std::string called = text(env, name);
  done(env, edgekit_session_drop_state(from<edgekit_session>(session), called.c_str()));
}

EDGEKIT_JAVA(void, resetState)(JNIEnv *env, jclass, jlong session) {
  done(env, edgekit_session_reset_state(from<edgekit_session>(session)));
}

EDGEKIT_JAVA(jbyteArray, saveState)(JNIEnv *env, jclass, jlong session) {
  std::string state(edgekit_session_state_size(from<edgekit_session>(session)), '\0');
  if (!done(env, edgekit_session_save_state(from<edgekit_session>(session), state.data(), state.size()))) return nullptr;
  return bytes(env, state.data(), state.size());
}

EDGEKIT_JAVA(void, restoreState)(JNIEnv *env, jclass, jlong session, jbyteArray state) {
  const std::string copy = text(env, state);
  done(env, edgekit_session_restore_state(from<edgekit_session>(session), copy.data(), copy.size()));
}
