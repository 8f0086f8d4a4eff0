// One call of an operator on the GPU: whether it goes there, its arguments' memory, and the hand-over.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "gpu.h"

namespace edgekit::cuda {

// Example:
//
//     std::optional<edgekit_status> run_on_gpu(const float *x, float *y, int64_t rows, int64_t n) {
//       cuda::Call call(cuda::Operator::sparse_topk, rows * n);
//       x = call.in(x, rows * n);
//       y = call.out(y, rows * n);
//       return call.finish(call.ready() && enqueue(call.queue(), x, y));
//     }
//
// and in the operator: if (const auto done = run_on_gpu(...)) return *done; then the CPU computes. All arguments are told
// in any case: where the CPU computes, it needs what the GPU has of them.
class Call {
 public:
  // `work` is the operator's size as thresholds count it.
  Call(Operator op, int64_t work);
  ~Call();
  Call(const Call &) = delete;
  Call &operator=(const Call &) = delete;

  // The device's memory for `count` elements (bytes, where T is void) that are read, written whole, or changed.
  template <typename T>
  const T *in(const T *host, int64_t count) {
    return static_cast<const T *>(map(const_cast<T *>(host), bytes<T>(count), true, false));
  }
  template <typename T>
  T *out(T *host, int64_t count) {
    return static_cast<T *>(map(host, bytes<T>(count), false, true));
  }
  template <typename T>
  T *change(T *host, int64_t count) {
    return static_cast<T *>(map(host, bytes<T>(count), true, true));
  }
  // Whether it goes to the GPU, and all memory could be had.
  bool ready() const { return ready_; }
  Queue &queue() { return *gpu_; }
  // Hands over, unless that is put off. `enqueued`: whether all was launched. Gives the operator's status; nothing where
  // the CPU is to compute, whose arguments are then as they were.
  std::optional<edgekit_status> finish(bool enqueued);

 private:
  template <typename T>
  static size_t bytes(int64_t count) {
    if constexpr (std::is_void_v<T>) return static_cast<size_t>(count);
    else return static_cast<size_t>(count) * sizeof(T);
  }
  void *map(void *host, size_t bytes, bool read, bool written);
  bool leave_gpu(Gpu &gpu);
  edgekit_status fail();

  Operator op_;
  Gpu *gpu_ = nullptr;
  bool own_turn_ = false, ready_ = false, pays_ = true, has_failed_ = false;
  int64_t launches_before_ = 0;
  // Whether other memory than copies would suffer if the device faulted; if the call broke off after a launch.
  bool uses_shared_ = false, changes_newest_ = false;
  static constexpr int kMost = 48;
  Mirror *written_[kMost];
  int written_count_ = 0;
  // States among the arguments.
  struct State {
    void *host;
    size_t bytes;
    bool written;
  } states_[kMost];
  int state_count_ = 0;
};

// Before the CPU reads an argument that operators of this thread may have written. False: the GPU failed.
bool read_by_cpu(const char *operation, const void *memory, size_t bytes);

// Keeps the sentence for edgekit_last_error().
void explain_failure(const char *operation, const Gpu &gpu);

// Before an operator that has no kernels for a GPU. False: the GPU failed.
bool leave_gpu(const char *operation);

}  // namespace edgekit::cuda
