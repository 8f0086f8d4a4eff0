#include "java.h"

#include <cstring>

namespace edgekit_java {
namespace {

Java found;

jclass kept(JNIEnv *env, const char *name) {
  const jclass local = env->FindClass(name);
  if (local == nullptr) return nullptr;
  const auto global = static_cast<jclass>(env->NewGlobalRef(local));
  env->DeleteLocalRef(local);
  return global;
}

}  // namespace

const Java &java() noexcept { return found; }

bool done(JNIEnv *env, edgekit_session_status status) {
  if (status == EDGEKIT_SESSION_OK) return true;
  if (env->ExceptionCheck()) return false;  // a listener's goes first
  const jbyteArray message = bytes(env, edgekit_session_last_error());
  if (message == nullptr) return false;
  const jboolean usage = status == EDGEKIT_SESSION_USAGE;
  const jobject failure = env->CallStaticObjectMethod(found.native, found.failure, message, usage);
  if (!env->ExceptionCheck() && failure != nullptr) env->Throw(static_cast<jthrowable>(failure));
  return false;
}

std::string text(JNIEnv *env, jbyteArray array) {
  if (array == nullptr) return refuse(env, "java/lang/NullPointerException", "a text is null: give it."), std::string();
  std::string copy(static_cast<size_t>(env->GetArrayLength(array)), '\0');
  env->GetByteArrayRegion(array, 0, static_cast<jsize>(copy.size()), reinterpret_cast<jbyte *>(copy.data()));
  return copy;
}

jbyteArray bytes(JNIEnv *env, const char *data, size_t size) {
  const jbyteArray array = env->NewByteArray(static_cast<jsize>(size));
  if (array != nullptr)
    env->SetByteArrayRegion(array, 0, static_cast<jsize>(size), reinterpret_cast<const jbyte *>(data));
  return array;
}

jbyteArray bytes(JNIEnv *env, const char *text) { return bytes(env, text, std::strlen(text)); }

void refuse(JNIEnv *env, const char *exception, const char *why) {
  const jclass kind = env->FindClass(exception);
  if (kind != nullptr) env->ThrowNew(kind, why);
}

}  // namespace edgekit_java

using namespace edgekit_java;

extern "C" JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *machine, void *) {
  JNIEnv *env = nullptr;
  if (machine->GetEnv(reinterpret_cast<void **>(&env), JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  if (edgekit_session_c_version() != EDGEKIT_SESSION_C_VERSION) {
    refuse(env, "java/lang/UnsatisfiedLinkError",
           "libedgekit_jni.so was built for another version of libedgekit_runtime.so: build both from one edgekit.");
    return JNI_ERR;
  }
  found.native = kept(env, "dev/edgekit/Native");
  found.objects = kept(env, "java/lang/Object");
  found.bytes = kept(env, "[B");
  if (found.native == nullptr || found.objects == nullptr || found.bytes == nullptr) return JNI_ERR;
  found.failure = env->GetStaticMethodID(found.native, "failure", "([BZ)Ljava/lang/RuntimeException;");
  found.deliver =
      env->GetStaticMethodID(found.native, "deliver", "(Ldev/edgekit/TextGenerator$Listener;J[B)Z");
  return found.failure == nullptr || found.deliver == nullptr ? JNI_ERR : JNI_VERSION_1_6;
}

EDGEKIT_JAVA(jbyteArray, version)(JNIEnv *env, jclass) { return bytes(env, edgekit_session_runtime_version()); }

EDGEKIT_JAVA(void, setThreads)(JNIEnv *env, jclass, jint count) { done(env, edgekit_session_set_threads(count)); }

EDGEKIT_JAVA(jint, misalignment)(JNIEnv *env, jclass, jobject buffer, jint alignment) {
  const auto address = reinterpret_cast<uintptr_t>(env->GetDirectBufferAddress(buffer));
  const auto step = static_cast<uintptr_t>(alignment);
  return static_cast<jint>((step - address % step) % step);
}
