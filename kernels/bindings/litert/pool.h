// Threads for operators where the caller brings none: LiteRT and TensorFlow Lite lend a custom operator none of theirs.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "edgekit/ops.h"

namespace edgekit::litert_binding {

// Its threads are made when they are needed first, and wait until the pool goes.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;
  ~Pool();

  // Runs the tasks on up to `threads` threads, the calling one among them. While the pool is in use by another thread,
  // the calling one works alone: the answers are the same.
  void run(int threads, int tasks, void (*task)(void *, int), void *argument);

 private:
  struct Work {
    void (*task)(void *, int);
    void *argument;
    int tasks, next, unfinished;
    int helpers;  // threads that may still join
  };

  void take_tasks(std::unique_lock<std::mutex> &lock);
  void help();

  std::mutex in_use_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Work work_{};
  bool stopping_ = false;
};

// As many threads of a pool as one user takes.
class Threads {
 public:
  Threads(Pool &pool, int count) : pool_(pool), count_(count) {}

  // A context without scratch, valid as long as this is.
  edgekit_context context() const;

 private:
  static void parallel(void *self, int tasks, void (*task)(void *, int), void *argument);

  Pool &pool_;
  int count_;
};

}  // namespace edgekit::litert_binding
