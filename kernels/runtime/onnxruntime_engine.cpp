#include "onnxruntime_engine.h"

#include "core/failure.h"

namespace edgekit {

std::unique_ptr<Engine> make_onnxruntime_engine(const Bundle &, Heap &) {
  throw Failure("ONNX Runtime programs are not run yet.");
}

}  // namespace edgekit
