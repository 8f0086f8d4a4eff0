// Texts: dev.edgekit.TextGenerator.

#include <vector>

#include "java.h"

using namespace edgekit_java;

namespace {

struct Taker {
  JNIEnv *env;
  jobject listener;
};

// Hands a token to the listener. What that throws stays pending, and ends the text.
bool take(void *user, int64_t token, const char *piece, size_t size) {
  const Taker &taker = *static_cast<Taker *>(user);
  const jbyteArray added = bytes(taker.env, piece, size);
  if (added == nullptr) return false;
  const jboolean goes_on = taker.env->CallStaticBooleanMethod(java().native, java().deliver, taker.listener,
                                                              static_cast<jlong>(token), added);
  taker.env->DeleteLocalRef(added);
  return !taker.env->ExceptionCheck() && goes_on == JNI_TRUE;
}

}  // namespace

EDGEKIT_JAVA(jlong, openText)(JNIEnv *env, jclass, jlong session) {
  edgekit_text *text = nullptr;
  done(env, edgekit_text_open(from<edgekit_session>(session), &text));
  return to(text);
}

EDGEKIT_JAVA(void, closeText)(JNIEnv *, jclass, jlong text) { edgekit_text_close(from<edgekit_text>(text)); }

EDGEKIT_JAVA(void, cancelText)(JNIEnv *, jclass, jlong text) { edgekit_text_cancel(from<edgekit_text>(text)); }

EDGEKIT_JAVA(void, generate)
(JNIEnv *env, jclass, jlong generator, jbyteArray prompt, jlong max_tokens, jdouble temperature, jlong seed,
 jobject listener) {
  const std::string begins = text(env, prompt);
  const edgekit_sampling sampling = {max_tokens, temperature, static_cast<uint64_t>(seed)};
  Taker taker = {env, listener};
  done(env, edgekit_text_generate(from<edgekit_text>(generator), begins.data(), begins.size(), &sampling,
                                  listener == nullptr ? nullptr : take, &taker));
}

EDGEKIT_JAVA(jobjectArray, generation)(JNIEnv *env, jclass, jlong generator) {
  edgekit_generation went;
  if (!done(env, edgekit_text_generation(from<edgekit_text>(generator), &went))) return nullptr;
  const jdouble numbers[] = {static_cast<jdouble>(went.prompt_tokens), static_cast<jdouble>(went.generated_tokens),
                             went.prompt_seconds, went.generated_seconds};
  const std::vector<jlong> tokens(went.tokens, went.tokens + went.generated_tokens);
  const auto count = static_cast<jsize>(tokens.size());
  const jdoubleArray described = env->NewDoubleArray(4);
  const jlongArray generated = env->NewLongArray(count);
  const jobject written = bytes(env, went.text, went.text_size), reason = bytes(env, went.reason);
  const jobjectArray found = env->NewObjectArray(4, java().objects, nullptr);
  if (described == nullptr || generated == nullptr || written == nullptr || reason == nullptr || found == nullptr)
    return nullptr;
  env->SetDoubleArrayRegion(described, 0, 4, numbers);
  env->SetLongArrayRegion(generated, 0, count, tokens.data());
  env->SetObjectArrayElement(found, 0, described);
  env->SetObjectArrayElement(found, 1, generated);
  env->SetObjectArrayElement(found, 2, written);
  env->SetObjectArrayElement(found, 3, reason);
  return found;
}
