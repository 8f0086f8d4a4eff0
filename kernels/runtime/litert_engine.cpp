#include "litert_engine.h"

#include "core/failure.h"

namespace edgekit {

std::unique_ptr<Engine> make_litert_engine(const Bundle &, Heap &) {
  throw Failure("LiteRT programs are not run yet.");
}

}  // namespace edgekit
