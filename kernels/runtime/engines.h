// The engine for a bundle's program, by its format.
#pragma once

#include <memory>

#include "core/engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_engine(const Bundle &bundle, Heap &heap);

}  // namespace edgekit
