// One of the driver's GPUs with this library's code in its primary context, which is that of CUDA's runtime and torch.
#pragma once

#include <mutex>

#include "driver.h"
#include "queue.h"

namespace edgekit::cuda {

class DeviceCode {
 public:
  // Opened at the first call for a device; nullptr, and why in a few words, if it cannot be used.
  static DeviceCode *find(int ordinal, const char *&reason);

  const Driver &driver() const { return *driver_; }
  Device device() const { return device_; }
  Context context() const { return context_; }
  const Limits &limits() const { return limits_; }
  int driver_version() const { return driver_version_; }  // 12060 for 12.6

  // Launches a kernel on a stream of the context, which is the thread's current one.
  Result launch(const char *kernel, const Shape &shape, const void *params, Stream stream);
  // See Queue::resident_blocks.
  Result resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes, unsigned &blocks);

 private:
  DeviceCode() = default;
  bool open(int ordinal);
  bool refuse(const char *why, Result result = kSuccess);
  // A kernel that may have so much block memory.
  Result prepare(const char *kernel, size_t shared_bytes, Function &function);

  const Driver *driver_ = nullptr;
  Device device_ = 0;
  Context context_ = nullptr;
  Module module_ = nullptr;
  Limits limits_;
  int driver_version_ = 0;
  bool cooperative_ = false;
  char error_[512] = "";

  struct Known {
    const char *name;
    Function function;
    size_t shared_bytes;
  };
  static constexpr int kMostKernels = 64;
  std::mutex mutex_;
  Known known_[kMostKernels] = {};
  int known_count_ = 0;
};

// What the driver says of a result.
const char *result_text(const Driver &driver, Result result);

}  // namespace edgekit::cuda
