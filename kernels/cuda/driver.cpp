#include "driver.h"

#include <dlfcn.h>

namespace edgekit::cuda {
namespace {

struct Opened {
  Driver driver;
  const char *reason = nullptr;
  bool exists = false;

  Opened() {
    // Never closed: its threads live as long as the process.
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      reason = "there is no libcuda.so.1, which comes with an NVIDIA GPU's driver";
      return;
    }
    exists = true;
#define EDGEKIT_FIND(member, symbol, arguments)                                            \
  driver.member = reinterpret_cast<decltype(driver.member)>(dlsym(library, symbol));       \
  if (driver.member == nullptr) reason = "libcuda.so.1 has no " symbol ": update the driver";
    EDGEKIT_CUDA_DRIVER(EDGEKIT_FIND)
#undef EDGEKIT_FIND
  }
};

const Opened &open_once() {
  static const Opened opened;
  return opened;
}

}  // namespace

bool has_driver() { return open_once().exists; }

const Driver *find_driver(const char *&reason) {
  const Opened &opened = open_once();
  reason = opened.reason;
  return reason == nullptr ? &opened.driver : nullptr;
}

}  // namespace edgekit::cuda
