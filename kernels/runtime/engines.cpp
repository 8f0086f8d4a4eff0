#include "engines.h"

#include "executorch_engine.h"
#include "litert_engine.h"
#include "onnxruntime_engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_engine(const Bundle &bundle, Heap &heap) {
  const std::string format = bundle.program().format;
  if (format == "tflite") return make_litert_engine(bundle, heap);
  if (format == "onnx") return make_onnxruntime_engine(bundle, heap);
  return make_executorch_engine(bundle, heap);
}

}  // namespace edgekit
