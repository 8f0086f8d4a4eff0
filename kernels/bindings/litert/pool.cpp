#include "pool.h"

#include <algorithm>
#include <system_error>

namespace edgekit::litert_binding {

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread &thread : threads_) thread.join();
}

void Pool::run(int threads, int tasks, void (*task)(void *, int), void *argument) {
  const std::unique_lock<std::mutex> in_use(in_use_, std::try_to_lock);
  if (!in_use) {
    for (int index = 0; index < tasks; ++index) task(argument, index);
    return;
  }
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
}

void Pool::take_tasks(std::unique_lock<std::mutex> &lock) {
  while (work_.next < work_.tasks) {
    const int index = work_.next++;
    lock.unlock();
    work_.task(work_.argument, index);  // these two stay while a task is unfinished
    lock.lock();
    if (--work_.unfinished == 0) done_.notify_all();
  }
}

void Pool::help() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || (work_.next < work_.tasks && work_.helpers > 0); });
    if (stopping_) return;
    --work_.helpers;
    take_tasks(lock);
  }
}

edgekit_context Threads::context() const {
  if (count_ < 2) return {nullptr, 0, 1, nullptr, nullptr};
  return {nullptr, 0, count_, parallel, const_cast<Threads *>(this)};
}

void Threads::parallel(void *self, int tasks, void (*task)(void *, int), void *argument) {
  const Threads &threads = *static_cast<Threads *>(self);
  threads.pool_.run(threads.count_, tasks, task, argument);
}

}  // namespace edgekit::litert_binding
