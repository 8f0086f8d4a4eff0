// What the process holds of memory at the moments of a benchmark.
#pragma once

#include <chrono>
#include <string>

#include "core/json.h"
#include "launch/heap_count.h"

namespace edgekit {

class MemoryTimeline {
 public:
  // The first moment, "start".
  explicit MemoryTimeline(const HeapCount &count);

  void mark(const std::string &label);
  // The most that was counted at once, and the process's peak; it was at some time before now.
  void mark_peak(int64_t counted);

  // Milliseconds since the first moment.
  double milliseconds(std::chrono::steady_clock::time_point time) const;

  // [{at_ms, label, counted_bytes: heap and mapped files, resident_bytes: null where the system does not tell}]
  const Json &json() const { return moments_; }

 private:
  void add(const std::string &label, int64_t counted, int64_t resident);

  const HeapCount &count_;
  std::chrono::steady_clock::time_point start_;
  Json moments_ = Json::array();
};

}  // namespace edgekit
