// Programs for ONNX Runtime (`.onnx`).
#pragma once

#include <memory>

#include "core/engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_onnxruntime_engine(const Bundle &bundle, Heap &heap);

}  // namespace edgekit
