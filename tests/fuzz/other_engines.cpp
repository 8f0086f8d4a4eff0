// In place of the engines for .tflite and .onnx, which are not fuzzed: LiteRT and ONNX Runtime read programs as they come,
// behind the bundle's hashes.

#include "core/failure.h"
#include "litert_engine.h"
#include "onnxruntime_engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_litert_engine(const Bundle &, Heap &) { throw Failure("no engine for LiteRT is here."); }

std::unique_ptr<Engine> make_onnxruntime_engine(const Bundle &, Heap &) {
  throw Failure("no engine for ONNX Runtime is here.");
}

}  // namespace edgekit
