#include "stream_queue.h"

#include "choice.h"
#include "ops/common/error.h"

namespace edgekit::cuda {

StreamQueue::StreamQueue(DeviceCode &code, const edgekit_gpu_stream &gpu)
    : code_(code), gpu_(gpu), stream_(static_cast<Stream>(gpu.stream)) {
  pushed_ = check(code_.driver().context_push(code_.context()), "context");
}

StreamQueue::~StreamQueue() {
  Context before = nullptr;
  if (pushed_) code_.driver().context_pop(&before);
}

bool StreamQueue::check(Result result, const char *what) {
  if (result == kSuccess) return failed_ == nullptr;
  if (failed_ == nullptr) {
    failed_ = what;
    result_ = result;
  }
  return false;
}

void *StreamQueue::scratch(size_t bytes) {
  if (failed_ != nullptr || exhausted_) return nullptr;
  void *memory = gpu_.allocate(gpu_.owner, bytes);
  if (memory == nullptr) {
    exhausted_ = true;
    asked_ = bytes;
  }
  return memory;
}

bool StreamQueue::clear(void *memory, size_t bytes) {
  if (failed_ != nullptr) return false;
  began_ = true;
  return check(code_.driver().clear(reinterpret_cast<DevicePointer>(memory), 0, bytes, stream_), "clear");
}

unsigned StreamQueue::resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes) {
  unsigned blocks = 0;
  // What cannot run is no failure: the caller does without it.
  if (failed_ != nullptr || code_.resident_blocks(kernel, threads, shared_bytes, blocks) != kSuccess) return 0;
  return blocks;
}

bool StreamQueue::start(const char *kernel, const Shape &shape, const void *params, size_t) {
  if (failed_ != nullptr) return false;
  began_ = true;
  return check(code_.launch(kernel, shape, params, stream_), kernel);
}

edgekit_launched StreamQueue::finish(const char *operation, bool enqueued) const {
  if (failed_ != nullptr) {
    set_error("%s: the GPU failed: %s: %s (%d).", operation, failed_, result_text(code_.driver(), result_), result_);
    return EDGEKIT_LAUNCH_FAILED;
  }
  if (enqueued) return EDGEKIT_LAUNCHED;
  if (exhausted_) {
    set_error("%s: %zu bytes of the GPU's memory are needed, there is no room: give fewer rows.", operation, asked_);
    return EDGEKIT_LAUNCH_NO_MEMORY;
  }
  if (began_) {
    set_error("%s: the kernels gave up half way.", operation);
    return EDGEKIT_LAUNCH_FAILED;
  }
  set_error("%s: the kernels do not take these sizes.", operation);
  return EDGEKIT_NOT_TAKEN;
}

DeviceCode *code_for(const char *operation, const edgekit_gpu_stream &gpu) {
  const char *reason = "EDGEKIT_GPU is 0";
  if (use() != EDGEKIT_GPU_NEVER) {
    if (DeviceCode *code = DeviceCode::find(gpu.device, reason); code != nullptr) return code;
  }
  set_error("%s: the GPU's kernels are not used: %s.", operation, reason);
  return nullptr;
}

}  // namespace edgekit::cuda
