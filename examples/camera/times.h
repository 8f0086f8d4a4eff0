// Percentiles of times, of a run that may never end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

// The last 10,000 of the times that were added.
class Times {
 public:
  static constexpr size_t kMost = 10000;

  void add(double time) {
    if (kept_.size() < kMost) {
      kept_.push_back(time);
    } else {
      kept_[next_] = time;
    }
    next_ = (next_ + 1) % kMost;
  }

  bool is_empty() const { return kept_.empty(); }

  // By the nearest rank; there is at least one time.
  double percentile(double share) const {
    std::vector<double> sorted = kept_;
    const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.end());
    return sorted[static_cast<size_t>(rank)];
  }

 private:
  std::vector<double> kept_;
  size_t next_ = 0;
};
