// Sensors: dev.edgekit.AnomalyStream.

#include <limits>
#include <vector>

#include "java.h"

using namespace edgekit_java;

EDGEKIT_JAVA(jlong, openStream)(JNIEnv *env, jclass, jlong session) {
  edgekit_anomaly_stream *stream = nullptr;
  done(env, edgekit_anomaly_stream_open(from<edgekit_session>(session), &stream));
  return to(stream);
}

EDGEKIT_JAVA(void, closeStream)(JNIEnv *, jclass, jlong stream) {
  edgekit_anomaly_stream_close(from<edgekit_anomaly_stream>(stream));
}

EDGEKIT_JAVA(jint, streamWindow)(JNIEnv *, jclass, jlong stream) {
  return edgekit_anomaly_stream_window(from<edgekit_anomaly_stream>(stream));
}

EDGEKIT_JAVA(jobjectArray, streamChannels)(JNIEnv *env, jclass, jlong stream) {
  const auto *opened = from<const edgekit_anomaly_stream>(stream);
  const int count = edgekit_anomaly_stream_channels(opened);
  const jobjectArray found = env->NewObjectArray(count, java().bytes, nullptr);
  for (int index = 0; found != nullptr && index < count; ++index) {
    const jobject name = bytes(env, edgekit_anomaly_stream_channel(opened, index));
    if (name == nullptr) return nullptr;
    env->SetObjectArrayElement(found, index, name);
    env->DeleteLocalRef(name);
  }
  return found;
}

EDGEKIT_JAVA(void, useThreshold)(JNIEnv *env, jclass, jlong stream, jbyteArray threshold) {
  const std::string chosen = text(env, threshold);
  done(env, edgekit_anomaly_stream_use_threshold(from<edgekit_anomaly_stream>(stream), chosen.c_str()));
}

EDGEKIT_JAVA(jfloat, push)
(JNIEnv *env, jclass, jlong stream, jfloatArray row, jfloatArray errors, jintArray ranked, jobjectArray diagnosis) {
  constexpr jfloat kNone = std::numeric_limits<jfloat>::quiet_NaN();
  const jsize channels = env->GetArrayLength(row);
  std::vector<float> readings(static_cast<size_t>(channels));
  env->GetFloatArrayRegion(row, 0, channels, readings.data());
  edgekit_row_result result = {};
  if (!done(env, edgekit_anomaly_stream_push(from<edgekit_anomaly_stream>(stream), readings.data(), channels, &result)) ||
      !result.scored)
    return kNone;
  env->SetFloatArrayRegion(errors, 0, channels, result.errors);
  const std::vector<jint> order(result.ranked, result.ranked + channels);
  env->SetIntArrayRegion(ranked, 0, channels, order.data());
  if (result.alarm) {
    const jobject kind = bytes(env, result.diagnosis);
    if (kind == nullptr) return kNone;
    env->SetObjectArrayElement(diagnosis, 0, kind);
  }
  return result.score;
}

EDGEKIT_JAVA(void, resetStream)(JNIEnv *env, jclass, jlong stream) {
  done(env, edgekit_anomaly_stream_reset(from<edgekit_anomaly_stream>(stream)));
}
