// Programs for ExecuTorch (`.pte`).
#pragma once

#include <memory>

#include "core/engine.h"

namespace edgekit {

std::unique_ptr<Engine> make_executorch_engine(const Bundle &bundle, Heap &heap);

// ExecuTorch's thread pool, which all sessions share.
void set_pool_threads(int count);
int pool_threads();
// How often the pool was made anew; what was loaded for another count is loaded again.
unsigned pool_generation();

}  // namespace edgekit
