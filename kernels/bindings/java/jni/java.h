// What every native function of the Java binding does around its call of the C interface.
#pragma once

#include <jni.h>

#include <string>

#include "edgekit/session_c.h"

namespace edgekit_java {

// dev.edgekit.Native, and what of it is called from here.
struct Java {
  jclass native = nullptr, objects = nullptr, bytes = nullptr;
  jmethodID failure = nullptr, deliver = nullptr;
};
const Java &java() noexcept;

// Whether a call was done; otherwise its sentence is thrown as an EdgekitException.
bool done(JNIEnv *env, edgekit_session_status status);

// The bytes of a Java array, with a 0 behind them. An array that is null throws, and gives "".
std::string text(JNIEnv *env, jbyteArray array);
// A Java array of bytes; null where there is no memory, which throws.
jbyteArray bytes(JNIEnv *env, const char *data, size_t size);
jbyteArray bytes(JNIEnv *env, const char *text);

// Throws an exception of the Java library.
void refuse(JNIEnv *env, const char *exception, const char *why);

template <typename T>
T *from(jlong pointer) {
  return reinterpret_cast<T *>(static_cast<intptr_t>(pointer));
}
inline jlong to(void *pointer) { return static_cast<jlong>(reinterpret_cast<intptr_t>(pointer)); }

}  // namespace edgekit_java

#define EDGEKIT_JAVA(result, name) extern "C" JNIEXPORT result JNICALL Java_dev_edgekit_Native_##name
