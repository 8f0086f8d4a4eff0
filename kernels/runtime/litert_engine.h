// Programs for LiteRT (`.tflite`).
#pragma once

#include <memory>

#include "core/engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_litert_engine(const Bundle &bundle, Heap &heap);

}  // namespace edgekit
