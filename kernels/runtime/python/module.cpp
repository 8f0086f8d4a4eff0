// The Python module edgekit_runtime._native: each part binds itself.

#include "module.h"

NB_MODULE(_native, module) {
  edgekit::bind_session(module);
  edgekit::bind_images(module);
  edgekit::bind_segment(module);
  edgekit::bind_series(module);
  edgekit::bind_detect_anomalies(module);
  edgekit::bind_tokenizer(module);
  edgekit::bind_features(module);
  edgekit::bind_text_generator(module);
}
