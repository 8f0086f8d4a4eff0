#include "memory_timeline.h"

#include "memory_parts.h"
#include "rounded.h"

namespace edgekit {

MemoryTimeline::MemoryTimeline(const HeapCount &count) : count_(count), start_(std::chrono::steady_clock::now()) {
  mark("start");
}

double MemoryTimeline::milliseconds(std::chrono::steady_clock::time_point time) const {
  return std::chrono::duration<double, std::milli>(time - start_).count();
}

void MemoryTimeline::mark(const std::string &label) { add(label, count_.heap + count_.maps, resident_now()); }

void MemoryTimeline::mark_peak(int64_t counted) { add("peak", counted, peak_memory()); }

void MemoryTimeline::add(const std::string &label, int64_t counted, int64_t resident) {
  moments_.push_back({{"at_ms", rounded(milliseconds(std::chrono::steady_clock::now()))},
                      {"label", label},
                      {"counted_bytes", counted},
                      {"resident_bytes", resident > 0 ? Json(resident) : Json()}});
}

}  // namespace edgekit
