// Images: dev.edgekit.Segmenter.

#include <vector>

#include "java.h"

using namespace edgekit_java;

EDGEKIT_JAVA(jlong, openSegmenter)(JNIEnv *env, jclass, jlong session) {
  edgekit_segmenter *segmenter = nullptr;
  done(env, edgekit_segmenter_open(from<edgekit_session>(session), &segmenter));
  return to(segmenter);
}

EDGEKIT_JAVA(void, closeSegmenter)(JNIEnv *, jclass, jlong segmenter) {
  edgekit_segmenter_close(from<edgekit_segmenter>(segmenter));
}

EDGEKIT_JAVA(void, setThreshold)(JNIEnv *env, jclass, jlong segmenter, jdouble threshold) {
  done(env, edgekit_segmenter_set_threshold(from<edgekit_segmenter>(segmenter), threshold));
}

EDGEKIT_JAVA(jobjectArray, segment)
(JNIEnv *env, jclass, jlong segmenter, jfloatArray image, jint height, jint width, jbyteArray fit) {
  const std::string way = text(env, fit);
  const jsize count = env->GetArrayLength(image);
  // Java checked that the image is as large as its sides say.
  std::vector<float> pixels(static_cast<size_t>(count) + 4);  // 16 readable bytes behind its end
  env->GetFloatArrayRegion(image, 0, count, pixels.data());
  const edgekit_object *objects = nullptr;
  const uint8_t *mask = nullptr;
  int object_count = 0;
  if (!done(env, edgekit_segmenter_run(from<edgekit_segmenter>(segmenter), pixels.data(), height, width, way.c_str(),
                                       &objects, &object_count, &mask)))
    return nullptr;
  std::vector<jdouble> numbers;
  for (int index = 0; index < object_count; ++index) {
    const edgekit_object &one = objects[index];
    numbers.insert(numbers.end(), one.centroid, one.centroid + 2);
    numbers.insert(numbers.end(), one.box, one.box + 4);
    numbers.push_back(static_cast<jdouble>(one.area));
    numbers.push_back(one.peak);
    numbers.insert(numbers.end(), one.peak_at, one.peak_at + 2);
  }
  const auto size = static_cast<jsize>(numbers.size());
  const jdoubleArray described = env->NewDoubleArray(size);
  const jobject pixels_found = bytes(env, reinterpret_cast<const char *>(mask), static_cast<size_t>(count));
  const jobjectArray found = env->NewObjectArray(2, java().objects, nullptr);
  if (described == nullptr || pixels_found == nullptr || found == nullptr) return nullptr;
  env->SetDoubleArrayRegion(described, 0, size, numbers.data());
  env->SetObjectArrayElement(found, 0, described);
  env->SetObjectArrayElement(found, 1, pixels_found);
  return found;
}
