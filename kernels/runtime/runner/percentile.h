// Percentiles of times.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

namespace edgekit {

// By the nearest rank; there is at least one time.
inline double percentile(std::vector<double> times, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(times.size() - 1) + 0.5);
  std::nth_element(times.begin(), times.begin() + rank, times.end());
  return times[static_cast<size_t>(rank)];
}

// Of the half in the middle, the mean: a median that is finer than a clock of whole microseconds.
inline double middle(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const size_t skipped = times.size() / 4;
  const auto first = times.begin() + static_cast<std::ptrdiff_t>(skipped);
  const auto last = times.end() - static_cast<std::ptrdiff_t>(skipped);
  return std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
}

}  // namespace edgekit
