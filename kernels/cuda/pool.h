// Device memory that is taken piece by piece and given back all at once: nothing is allocated once the largest need is
// known.
#pragma once

#include <cstddef>
#include <vector>

#include "driver.h"

namespace edgekit::cuda {

class Pool {
 public:
  // Aligned to 256 bytes; nullptr if there is none. A context of the GPU is current here and in reset().
  void *take(const Driver &driver, size_t bytes);
  // All of it is free again, in one block that is large enough for what was taken. The GPU is done with it.
  void reset(const Driver &driver);

 private:
  static constexpr size_t kAlignment = 256;

  struct Block {
    DevicePointer memory;
    size_t bytes;
  };

  std::vector<Block> blocks_;
  size_t used_ = 0;  // of the last block
};

}  // namespace edgekit::cuda
