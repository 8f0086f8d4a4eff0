// Sharing work among a context's threads, and cutting its scratch into pieces. Allocates nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "edgekit/ops.h"

namespace edgekit {

constexpr size_t kAlignment = 64;

constexpr size_t aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// Room for `count` elements of T, rounded up so that what follows is aligned.
template <typename T>
constexpr size_t room(int64_t count) {
  return aligned(static_cast<size_t>(count) * sizeof(T));
}

// Takes arrays from a piece of scratch, one after the other.
class Arena {
 public:
  explicit Arena(void *start) : next_(static_cast<char *>(start)) {}

  template <typename T>
  T *take(int64_t count) {
    T *taken = reinterpret_cast<T *>(next_);
    next_ += room<T>(count);
    return taken;
  }

 private:
  char *next_;
};

// Calls body(task, begin, end) for at most `threads` contiguous shares of [0, count), each of `grain` items or more. A
// share's place depends on count and threads alone, `task` is below `threads`.
template <typename Body>
void share(const edgekit_context &context, int64_t count, int64_t grain, const Body &body) {
  const int64_t most = std::max<int64_t>(1, count / std::max<int64_t>(1, grain));
  const int tasks = static_cast<int>(std::min<int64_t>(std::max(context.threads, 1), most));
  struct Call {
    const Body &body;
    int64_t count;
    int tasks;
  } call{body, count, tasks};
  auto task = [](void *argument, int index) {
    const Call &call = *static_cast<const Call *>(argument);
    call.body(index, call.count * index / call.tasks, call.count * (index + 1) / call.tasks);
  };
  if (tasks > 1 && context.parallel != nullptr) {
    context.parallel(context.pool, tasks, task, &call);
  } else {
    for (int index = 0; index < tasks; ++index) task(&call, index);
  }
}

}  // namespace edgekit
