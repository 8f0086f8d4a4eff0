#include "call.h"

#include <cstdio>

#include "ops/common/error.h"

namespace edgekit::cuda {
namespace {

// Operators whose state stays on a GPU with memory of its own: they go where it is.
bool has_state(Operator op) {
  return op == Operator::kv_append || op == Operator::sea_estimate || op == Operator::sparse_topk_attention;
}

bool finish_pending(Gpu *gpu, const char *operation) {
  if (gpu == nullptr || !Gpu::has_turn() || !gpu->is_pending() || gpu->hand_over()) return true;
  explain_failure(operation, *gpu);
  return false;
}

}  // namespace

void explain_failure(const char *operation, const Gpu &gpu) {
  set_error("%s: the GPU failed (%s): what it was to write or change is lost; the CPU computes from now on.", operation,
            gpu.error());
}

Call::Call(Operator op, int64_t work) : op_(op) {
  const edgekit_gpu_use wanted = use();
  const int64_t least = least_work(op);
  pays_ = wanted != EDGEKIT_GPU_ALWAYS;
  if (wanted == EDGEKIT_GPU_NEVER || (pays_ && (least < 0 || (work < least && Gpu::found() == nullptr)))) return;
  const char *reason = nullptr;
  Gpu *gpu = Gpu::find(reason);
  if (gpu == nullptr) {
    if (pays_) return;
    char sentence[700];
    std::snprintf(sentence, sizeof sentence, "a GPU was asked for, but none can be used: %s.", reason);
    say_once(Said::not_to_be_had, sentence);
    return;
  }
  if (pays_ && work < least && !(has_state(op) && gpu->mirrors.has_states())) return;
  own_turn_ = !Gpu::has_turn();
  if (own_turn_) gpu->take_turn();
  gpu_ = gpu;
  has_failed_ = !gpu->has_room() && !gpu->hand_over();
  ready_ = !has_failed_ && (!pays_ || work >= least || gpu->mirrors.has_newer_state());
  launches_before_ = gpu->launches();
}

Call::~Call() {
  // A thread that puts hand-overs off keeps its turn until then.
  if (own_turn_ && !gpu_->is_pending()) gpu_->give_turn();
}

void *Call::map(void *host, size_t bytes, bool read, bool written) {
  Gpu *gpu = gpu_ != nullptr ? gpu_ : Gpu::found();
  if (gpu == nullptr || host == nullptr) return nullptr;
  if (bytes == 0) bytes = 1;
  if (gpu->mirrors.has_states() && state_count_ < kMost) states_[state_count_++] = {host, bytes, written};
  if (!ready_) return nullptr;
  if (gpu->is_shared(host, bytes)) {
    uses_shared_ = true;
    changes_newest_ = changes_newest_ || (read && written);
    return host;
  }
  // To copy a whole state there and back does not pay.
  Mirror *mirror = pays_ && read && written && !gpu->mirrors.is_kept(host, bytes)
                       ? nullptr
                       : gpu->mirrors.find(*gpu, host, bytes, read, written);
  ready_ = mirror != nullptr && written_count_ < kMost;
  if (!ready_) return nullptr;
  uses_shared_ = uses_shared_ || mirror->is_newer || (written && mirror->kind == Mirror::Kind::state);
  changes_newest_ = changes_newest_ || (written && mirror->is_newer);
  if (written) written_[written_count_++] = mirror;
  return reinterpret_cast<void *>(mirror->device + (reinterpret_cast<uintptr_t>(host) - mirror->host));
}

// The CPU gets what operators of this thread wrote, and the states among the arguments.
bool Call::leave_gpu(Gpu &gpu) {
  if (!Gpu::has_turn() && state_count_ == 0) return true;
  const Turn turn(gpu);
  bool well = gpu.hand_over() && !has_failed_;
  for (int place = 0; place < state_count_; ++place) {
    const State &state = states_[place];
    well = gpu.mirrors.fetch_states(gpu, state.host, state.bytes) && well;
    if (well && state.written) gpu.mirrors.outdate_states(state.host, state.bytes);
  }
  return well;
}

edgekit_status Call::fail() {
  explain_failure(name_of(op_), *Gpu::found());
  return EDGEKIT_GPU_FAILED;
}

std::optional<edgekit_status> Call::finish(bool enqueued) {
  if (gpu_ == nullptr) {
    Gpu *gpu = Gpu::found();
    if (gpu != nullptr && !leave_gpu(*gpu)) return fail();
    return std::nullopt;
  }
  const int64_t launched = gpu_->launches() - launches_before_;
  if (enqueued) {
    const int call = gpu_->end_call(op_, launched);
    for (int place = 0; place < written_count_; ++place) {
      written_[place]->is_newer = true;
      written_[place]->event = call;
    }
    if (Gpu::puts_off() || gpu_->hand_over()) return EDGEKIT_OK;
    // Where the GPU had copies of its own, the arguments are as they were.
    if (uses_shared_ || !leave_gpu(*gpu_)) return fail();
    return std::nullopt;
  }
  // What a call that broke off wrote on the device is worth nothing.
  if (launched > 0)
    for (int place = 0; place < written_count_; ++place) written_[place]->is_current = written_[place]->is_newer = false;
  if (launched > 0 && changes_newest_) {
    gpu_->hand_over();
    gpu_->give_up("an operator's kernels could not all be launched");
    return fail();
  }
  if (!leave_gpu(*gpu_)) return fail();
  return std::nullopt;
}

bool read_by_cpu(const char *operation, const void *memory, size_t bytes) {
  Gpu *gpu = Gpu::found();
  if (gpu == nullptr || !Gpu::has_turn() || !gpu->is_pending() ||
      (!gpu->is_shared(memory, bytes) && !gpu->mirrors.has_newer(memory, bytes)))
    return true;
  return finish_pending(gpu, operation);
}

bool leave_gpu(const char *operation) { return finish_pending(Gpu::found(), operation); }

}  // namespace edgekit::cuda
