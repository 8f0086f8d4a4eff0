// The GPU of this process: the first that the driver has, its context, its code, and the queue that operators use.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "choice.h"
#include "device_code.h"
#include "edgekit/gpu.h"
#include "mirrors.h"
#include "pool.h"
#include "queue.h"

namespace edgekit::cuda {

// Threads take turns. A turn begins with take_turn() and ends with give_turn(), on the same thread; what says "turn"
// below needs it.
class Gpu final : public Queue {
 public:
  // The GPU, opened at the first call; nullptr, and why in a few words, if there is none that can be used (any more).
  static Gpu *find(const char *&reason);
  // The GPU that was found once, whether it can be used or not; nullptr if none was looked for.
  static Gpu *found();

  const edgekit_gpu &description() const { return description_; }
  const char *error() const { return error_; }

  // --- Threads

  void take_turn();
  void give_turn();
  static bool has_turn();
  // Whether the calling thread puts hand-overs off, and the pairs of begin() and end() that it has open.
  static bool puts_off();
  static bool has_begun();
  static void begin(bool put_off);
  static void end();

  // --- Queue, turn

  const Limits &limits() const override { return code_->limits(); }
  void *scratch(size_t bytes) override;
  bool clear(void *memory, size_t bytes) override;
  unsigned resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes) override;

  // --- Memory, turn

  Mirrors mirrors;
  // Device memory that stays; 0 if there is none.
  DevicePointer allocate(size_t bytes);
  void release(DevicePointer memory) { driver_->memory_free(memory); }
  // Memory that CPU and GPU work on.
  void *allocate_shared(size_t bytes);
  void release_shared(void *memory);
  // Whether kernels work on this memory as it lies there.
  bool is_shared(const void *memory, size_t bytes) const;
  bool copy_in(DevicePointer to, const void *from, size_t bytes);
  // Of what the call numbered `event` wrote.
  bool copy_out(void *to, DevicePointer from, size_t bytes, int event);

  // --- Calls and hand-overs, turn

  // Kernels launched so far.
  int64_t launches() const { return launches_; }
  // Launches that the device has not been waited for.
  bool is_pending() const { return pending_; }
  // A call's launches are complete; gives its number for copy_out().
  int end_call(Operator op, int64_t launched);
  // Whether calls can be numbered until the next hand-over.
  bool has_room() const { return calls_ < kMostCalls; }
  // Brings back what temporary mirrors have, waits for everything that was launched, and forgets scratch and temporary
  // mirrors. False if something failed on the GPU since the last one: it is not used any more.
  bool hand_over();
  // Writes a few words of four bytes in order with the launches.
  bool write(DevicePointer to, const void *from, size_t bytes);
  // A call's end without an operator: its number for copy_out().
  int end_write();

  // Not to be used any more, for the reason that is kept, or this one.
  void give_up(const char *why = nullptr);

  void count(edgekit_gpu_counts &counts) const;

 protected:
  bool start(const char *kernel, const Shape &shape, const void *params, size_t size) override;

 private:
  Gpu() = default;
  bool open();
  bool refuse(const char *why, Result result = kSuccess);
  bool check(Result result, const char *what);
  bool await_copies();
  void say_exhausted(size_t bytes) const;

  DeviceCode *code_ = nullptr;
  const Driver *driver_ = nullptr;  // the code's
  // A GPU with memory of its own has a stream for copies, which kernels need not wait for.
  Stream stream_ = nullptr, copies_ = nullptr;
  Event copied_in_ = nullptr, done_ = nullptr;
  bool copying_in_ = false;
  edgekit_gpu description_ = {};
  std::atomic<bool> usable_{false};
  char error_[512] = "";

  std::mutex mutex_;

  Pool pool_;
  mutable std::mutex shared_mutex_;
  std::map<uintptr_t, size_t> shared_;

  static constexpr int kMostCalls = 64;
  Event events_[kMostCalls] = {};
  int calls_ = 0;
  bool launched_ = false, pending_ = false;

  // Written by who has the turn, read by anybody.
  std::atomic<int64_t> call_counts_[EDGEKIT_GPU_OPERATORS] = {}, launch_counts_[EDGEKIT_GPU_OPERATORS] = {};
  std::atomic<int64_t> hand_overs_{0}, bytes_in_{0}, bytes_out_{0};
  int64_t launches_ = 0;
  const char *last_kernel_ = "a copy";
};

// A turn on the GPU, unless the thread has it already.
class Turn {
 public:
  explicit Turn(Gpu &gpu) : gpu_(Gpu::has_turn() ? nullptr : &gpu) {
    if (gpu_ != nullptr) gpu_->take_turn();
  }
  ~Turn() {
    if (gpu_ != nullptr) gpu_->give_turn();
  }
  Turn(const Turn &) = delete;
  Turn &operator=(const Turn &) = delete;

 private:
  Gpu *gpu_;
};

}  // namespace edgekit::cuda
