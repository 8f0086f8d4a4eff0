// One call at a time on an object.
#pragma once

#include <atomic>

#include "failure.h"

namespace edgekit {

class Turn {
 public:
  // `taken` is the sentence for the second caller.
  Turn(std::atomic<bool> &busy, const char *taken) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire)) throw UsageFailure(taken);
  }
  ~Turn() { busy_.store(false, std::memory_order_release); }
  Turn(const Turn &) = delete;
  Turn &operator=(const Turn &) = delete;

 private:
  std::atomic<bool> &busy_;
};

}  // namespace edgekit
