// edgekit/gpu.h.

#include <cstring>

#include "call.h"

using namespace edgekit;
using namespace edgekit::cuda;

bool edgekit_gpu_find(edgekit_gpu *gpu) {
  if (use() == EDGEKIT_GPU_NEVER) return false;
  const char *reason = nullptr;
  const Gpu *found = Gpu::find(reason);
  if (found != nullptr && gpu != nullptr) *gpu = found->description();
  return found != nullptr;
}

bool edgekit_gpu_has_driver(void) { return use() != EDGEKIT_GPU_NEVER && has_driver(); }

const char *edgekit_gpu_reason(void) {
  if (use() == EDGEKIT_GPU_NEVER) return "EDGEKIT_GPU=0, or the program, says that none is to be used";
  const Gpu *gpu = Gpu::found();
  return gpu != nullptr ? gpu->error() : "";
}

void *edgekit_gpu_allocate(size_t bytes) {
  const char *reason = nullptr;
  Gpu *gpu = use() == EDGEKIT_GPU_NEVER ? nullptr : Gpu::find(reason);
  if (gpu == nullptr) return nullptr;
  const Turn turn(*gpu);
  return gpu->allocate_shared(bytes);
}

void edgekit_gpu_release(void *memory) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr || memory == nullptr) return;
  const Turn turn(*gpu);
  gpu->release_shared(memory);
}

void edgekit_gpu_keep(const void *memory, size_t bytes, edgekit_gpu_kept kept) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr) return;
  const Turn turn(*gpu);
  gpu->mirrors.keep(memory, bytes, kept == EDGEKIT_GPU_STATE);
}

void edgekit_gpu_forget(const void *memory) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr) return;
  const Turn turn(*gpu);
  if (gpu->is_pending()) gpu->hand_over();
  gpu->mirrors.forget(*gpu, memory);
}

edgekit_status edgekit_gpu_fetch(void *memory, size_t bytes, bool changes) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr || !gpu->mirrors.has_states()) return EDGEKIT_OK;
  const Turn turn(*gpu);
  bool well = !gpu->is_pending() || gpu->hand_over();
  well = gpu->mirrors.fetch_states(*gpu, memory, bytes) && well;
  if (well && changes) gpu->mirrors.outdate_states(memory, bytes);
  if (well) return EDGEKIT_OK;
  explain_failure("a state", *gpu);
  return EDGEKIT_GPU_FAILED;
}

void edgekit_gpu_begin(bool put_off) {
  Gpu *gpu = Gpu::found();
  if (!Gpu::has_begun() && gpu != nullptr && gpu->description().exclusive) gpu->take_turn();
  Gpu::begin(put_off);
}

edgekit_status edgekit_gpu_hand_over(void) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr || !Gpu::has_turn()) return EDGEKIT_OK;
  const bool well = !gpu->is_pending() || gpu->hand_over();
  if (!gpu->description().exclusive || !Gpu::has_begun()) gpu->give_turn();
  if (well) return EDGEKIT_OK;
  explain_failure("hand-over", *gpu);
  return EDGEKIT_GPU_FAILED;
}

edgekit_status edgekit_gpu_end(void) {
  Gpu::end();
  return Gpu::puts_off() ? EDGEKIT_OK : edgekit_gpu_hand_over();
}

edgekit_status edgekit_gpu_write(void *to, const void *from, size_t bytes) {
  Gpu *gpu = Gpu::found();
  if (gpu != nullptr && Gpu::has_turn() && gpu->is_pending()) {
    // In order with the operators: the memory may be the next one's.
    if (gpu->is_shared(to, bytes) && gpu->write(reinterpret_cast<DevicePointer>(to), from, bytes)) return EDGEKIT_OK;
    Mirror *mirror = !gpu->is_shared(to, bytes) && gpu->has_room() ? gpu->mirrors.find(*gpu, to, bytes, false, true)
                                                                   : nullptr;
    if (mirror != nullptr &&
        gpu->write(mirror->device + (reinterpret_cast<uintptr_t>(to) - mirror->host), from, bytes)) {
      mirror->is_newer = true;
      mirror->event = gpu->end_write();
      return EDGEKIT_OK;
    }
    if (!leave_gpu("hand-over")) return EDGEKIT_GPU_FAILED;
  }
  std::memcpy(to, from, bytes);
  return EDGEKIT_OK;
}

void edgekit_gpu_count(edgekit_gpu_counts *counts) {
  *counts = {};
  if (const Gpu *gpu = Gpu::found()) gpu->count(*counts);
}
