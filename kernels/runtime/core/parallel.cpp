#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace edgekit {
namespace {

// More do not help: what is done is bound by memory or a disk.
constexpr size_t kMostThreads = 4;

}  // namespace

void in_parallel(size_t count, const std::function<void(size_t)> &work) {
  std::vector<std::exception_ptr> thrown(count);
  std::atomic<size_t> next{0};
  const auto take = [&] {
    for (size_t index = next++; index < count; index = next++) {
      try {
        work(index);
      } catch (...) {
        thrown[index] = std::current_exception();
      }
    }
  };
  const size_t wanted = std::min({count, kMostThreads, static_cast<size_t>(std::thread::hardware_concurrency())});
  std::vector<std::thread> others;
  others.reserve(wanted);
  try {
    while (others.size() + 1 < wanted) others.emplace_back(take);
  } catch (const std::system_error &) {  // no thread to be had
  }
  take();
  for (std::thread &other : others) other.join();
  for (const std::exception_ptr &error : thrown)
    if (error) std::rethrow_exception(error);
}

}  // namespace edgekit
