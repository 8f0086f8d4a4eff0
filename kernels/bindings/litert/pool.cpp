#include "pool.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace edgekit::litert_binding {
namespace {

class Pool {
 public:
  // Never destroyed: its threads may be waiting when the process ends.
  static Pool &instance() {
    static Pool &pool = *new Pool;
    return pool;
  }

  // False, and nothing done, if somebody else is at it.
  bool run(int threads, int tasks, void (*task)(void *, int), void *argument) {
    const std::unique_lock<std::mutex> in_use(in_use_, std::try_to_lock);
    if (!in_use) return false;
    const int helpers = std::max(0, std::min(threads, tasks) - 1);
    try {
      while (threads_.size() < static_cast<size_t>(helpers)) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error &) {  // no thread to be had: fewer do it
    }
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = {task, argument, tasks, 0, tasks, helpers};
    wake_.notify_all();
    take_tasks(lock);
    done_.wait(lock, [this] { return work_.unfinished == 0; });
    return true;
  }

 private:
  struct Work {
    void (*task)(void *, int);
    void *argument;
    int tasks, next, unfinished;
    int helpers;  // threads that may still join
  };

  void take_tasks(std::unique_lock<std::mutex> &lock) {
    while (work_.next < work_.tasks) {
      const int index = work_.next++;
      lock.unlock();
      work_.task(work_.argument, index);  // these two stay while a task is unfinished
      lock.lock();
      if (--work_.unfinished == 0) done_.notify_all();
    }
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return work_.next < work_.tasks && work_.helpers > 0; });
      --work_.helpers;
      take_tasks(lock);
    }
  }

  std::mutex in_use_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Work work_{};
};

}  // namespace

edgekit_context Threads::context() const {
  if (count_ < 2) return {nullptr, 0, 1, nullptr, nullptr};
  return {nullptr, 0, count_, parallel, const_cast<Threads *>(this)};
}

void Threads::parallel(void *self, int tasks, void (*task)(void *, int), void *argument) {
  if (Pool::instance().run(static_cast<Threads *>(self)->count_, tasks, task, argument)) return;
  for (int index = 0; index < tasks; ++index) task(argument, index);
}

}  // namespace edgekit::litert_binding
