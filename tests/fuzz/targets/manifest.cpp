// manifest.json: what a bundle says of its program, behind its own hash; and the settings of each task in it.

#include "core/bundle.h"
#include "edgekit/detect_anomalies.h"
#include "file.h"
#include "json_mutation.h"
#include "sealed_bundle.h"

using namespace edgekit;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  return fuzz::mutate_json(data, size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string text = fuzz::sealed(std::string(reinterpret_cast<const char *>(data), size));
  const std::string path = fuzz::write("manifest.json", text.data(), text.size());
  const bool read = guarded([&] {
    const Bundle bundle(path.substr(0, path.rfind('/')), false);
    const std::string pipeline = bundle.manifest().part("pipeline").value().dump();
    if (!AnomalyDetector::read(pipeline.c_str())) fuzz::expect_sentence();
    bundle.task();
    bundle.state();
    for (const MethodText &method : bundle.program().methods)
      for (const auto *texts : {&method.inputs, &method.outputs})
        for (const TensorText &tensor : *texts)
          for (const int64_t side : tensor.shape)
            if (side < 0) __builtin_trap();
    return true;
  });
  if (!read) fuzz::expect_sentence();
  return 0;
}
