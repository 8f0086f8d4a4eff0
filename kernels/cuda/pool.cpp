#include "pool.h"

#include <algorithm>

namespace edgekit::cuda {

void *Pool::take(const Driver &driver, size_t bytes) {
  bytes = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (blocks_.empty() || blocks_.back().bytes - used_ < bytes) {
    // No more than is asked for: the first time, each piece ends where its memory does.
    DevicePointer memory = 0;
    if (driver.memory_allocate(&memory, bytes) != kSuccess) return nullptr;
    blocks_.push_back({memory, bytes});
    used_ = 0;
  }
  const DevicePointer taken = blocks_.back().memory + used_;
  used_ += bytes;
  return reinterpret_cast<void *>(taken);
}

void Pool::reset(const Driver &driver) {
  used_ = 0;
  if (blocks_.size() <= 1) return;
  size_t all = 0;
  for (const Block &block : blocks_) {
    all += block.bytes;
    driver.memory_free(block.memory);
  }
  blocks_.clear();
  DevicePointer memory = 0;
  if (driver.memory_allocate(&memory, all) == kSuccess) blocks_.push_back({memory, all});
}

}  // namespace edgekit::cuda
