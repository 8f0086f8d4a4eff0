// A call on the CPU: a context with torch's thread pool and scratch.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "arguments.h"

namespace edgekit::torch_binding {

inline void check_status(edgekit_status status) {
  if (status != EDGEKIT_OK) raise(edgekit_last_error());
}

inline int threads() { return static_cast<int>(torch::stable::get_num_threads()); }

inline void run_tasks(void *, int tasks, void (*task)(void *, int), void *argument) {
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) task(argument, static_cast<int>(index));
  });
}

// A context with scratch of a size. Small scratch is a buffer that each thread keeps; large scratch is freed again.
class Call {
 public:
  explicit Call(size_t scratch_size) {
    constexpr size_t kKept = 1 << 20, kAlignment = 64;
    alignas(kAlignment) static thread_local char kept[kKept];
    void *scratch = kept;
    if (scratch_size > kKept) {
      scratch = std::aligned_alloc(kAlignment, (scratch_size + kAlignment - 1) / kAlignment * kAlignment);
      if (scratch == nullptr) throw std::bad_alloc();
      large_.reset(scratch);
    }
    context_ = {scratch, scratch_size, threads(), run_tasks, nullptr};
  }

  const edgekit_context *context() const { return &context_; }

 private:
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> large_;
  edgekit_context context_;
};

}  // namespace edgekit::torch_binding
