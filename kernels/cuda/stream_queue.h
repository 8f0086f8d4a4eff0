// Launching on a stream that somebody else owns, in the primary context of its GPU, with memory of theirs.
#pragma once

#include "device_code.h"
#include "edgekit/gpu_launch.h"
#include "queue.h"

namespace edgekit::cuda {

// A queue for one call. Its context is the thread's current one as long as it lives.
class StreamQueue final : public Queue {
 public:
  StreamQueue(DeviceCode &code, const edgekit_gpu_stream &gpu);
  ~StreamQueue();
  StreamQueue(const StreamQueue &) = delete;
  StreamQueue &operator=(const StreamQueue &) = delete;

  const Limits &limits() const override { return code_.limits(); }
  void *scratch(size_t bytes) override;
  bool clear(void *memory, size_t bytes) override;
  unsigned resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes) override;

  // What became of the call whose kernels were enqueued, or were not; sets the error.
  edgekit_launched finish(const char *operation, bool enqueued) const;

 protected:
  bool start(const char *kernel, const Shape &shape, const void *params, size_t size) override;

 private:
  bool check(Result result, const char *what);

  DeviceCode &code_;
  const edgekit_gpu_stream &gpu_;
  Stream stream_;
  bool pushed_ = false, began_ = false, exhausted_ = false;
  size_t asked_ = 0;
  const char *failed_ = nullptr;  // what did
  Result result_ = kSuccess;
};

// The code for the stream's device; nullptr, after the error was set, if there is none or EDGEKIT_GPU=0 forbids it.
DeviceCode *code_for(const char *operation, const edgekit_gpu_stream &gpu);

// Calls enqueue(queue) for an operator whose arguments were checked.
template <typename Enqueue>
edgekit_launched launch(const char *operation, const edgekit_gpu_stream &gpu, const Enqueue &enqueue) {
  DeviceCode *code = code_for(operation, gpu);
  if (code == nullptr) return EDGEKIT_NOT_TAKEN;
  StreamQueue queue(*code, gpu);
  const bool enqueued = enqueue(queue);
  return queue.finish(operation, enqueued);
}

}  // namespace edgekit::cuda
