// Ctrl-C and the system's wish to end, as a call on a thread of its own, where anything may be done.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

// Made before other threads are, which then leave SIGINT and SIGTERM to it. The first one calls; a second one ends the
// process at once.
class Interrupts {
 public:
  static constexpr int kExitCode = 130;

  explicit Interrupts(std::function<void()> call) : call_(std::move(call)) {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread([this] { wait(); });
  }
  ~Interrupts() {
    ended_ = true;
    thread_.join();
  }
  Interrupts(const Interrupts &) = delete;
  Interrupts &operator=(const Interrupts &) = delete;

  bool came() const { return came_; }

 private:
  void wait() {
    const timespec pause{0, 50'000'000};
    while (!ended_) {
      if (sigtimedwait(&signals_, nullptr, &pause) < 0) continue;
      if (came_.exchange(true)) _exit(kExitCode);
      call_();
    }
  }

  std::function<void()> call_;
  sigset_t signals_;
  std::atomic<bool> came_{false}, ended_{false};
  std::thread thread_;
};
