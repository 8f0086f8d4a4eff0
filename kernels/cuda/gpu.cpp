#include "gpu.h"

#include <cstdio>
#include <cstring>

namespace edgekit::cuda {
namespace {

thread_local bool turn_taken = false;
thread_local int open_pairs = 0;
thread_local uint32_t putting_off = 0;  // a bit for each
std::atomic<Gpu *> the_gpu{nullptr};

}  // namespace

Gpu *Gpu::find(const char *&reason) {
  static Gpu *gpu = [] {
    auto *made = new Gpu;  // never deleted: the driver may be gone before
    made->usable_ = made->open();
    the_gpu = made;
    return made;
  }();
  reason = gpu->error_;
  return gpu->usable_ ? gpu : nullptr;
}

Gpu *Gpu::found() { return the_gpu; }

bool Gpu::has_turn() { return turn_taken; }

bool Gpu::puts_off() { return putting_off != 0; }

bool Gpu::has_begun() { return open_pairs > 0; }

void Gpu::begin(bool put_off) {
  if (put_off) putting_off |= 1u << open_pairs;
  ++open_pairs;
}

void Gpu::end() { putting_off &= ~(1u << --open_pairs); }

void Gpu::take_turn() {
  mutex_.lock();
  turn_taken = true;
  if (code_ != nullptr) driver_->context_push(code_->context());
}

void Gpu::give_turn() {
  Context mine = nullptr;
  if (code_ != nullptr) driver_->context_pop(&mine);
  turn_taken = false;
  mutex_.unlock();
}

bool Gpu::refuse(const char *why, Result result) {
  if (result == kSuccess) {
    std::snprintf(error_, sizeof error_, "%s", why);
  } else {
    std::snprintf(error_, sizeof error_, "%s (%s, %d)", why, result_text(*driver_, result), result);
  }
  return false;
}

bool Gpu::open() {
  const char *reason = nullptr;
  code_ = DeviceCode::find(0, reason);
  if (code_ == nullptr) return refuse(reason);
  driver_ = &code_->driver();
  int integrated = 0, managed = 0, concurrent = 0;
  const struct {
    int attribute;
    int &value;
  } asked[] = {{kIntegrated, integrated}, {kManagedMemory, managed}, {kConcurrentManagedAccess, concurrent}};
  Result result = driver_->device_get_name(description_.name, sizeof description_.name, code_->device());
  for (const auto &[attribute, value] : asked)
    if (result == kSuccess) result = driver_->device_get_attribute(&value, attribute, code_->device());
  if (result != kSuccess) return refuse("the GPU does not say what it has", result);
  description_.driver = code_->driver_version();
  description_.major = limits().major;
  description_.minor = limits().minor;
  description_.integrated = integrated != 0 && managed != 0;
  description_.exclusive = description_.integrated && concurrent == 0;
  const Turn turn(*this);
  result = driver_->stream_create(&stream_, kNonBlocking);
  if (result == kSuccess && !description_.integrated) {
    result = driver_->stream_create(&copies_, kNonBlocking);
    if (result == kSuccess) result = driver_->event_create(&copied_in_, kNoTiming);
    if (result == kSuccess) result = driver_->event_create(&done_, kNoTiming);
    for (Event &event : events_)
      if (result == kSuccess) result = driver_->event_create(&event, kNoTiming);
  }
  return result == kSuccess || refuse("the GPU gives no queue for work", result);
}

bool Gpu::check(Result result, const char *what) {
  if (result == kSuccess) return true;
  // The first is the cause of the others.
  if (usable_) {
    refuse(what, result);
    give_up();
  }
  return false;
}

void Gpu::give_up(const char *why) {
  if (!usable_.exchange(false)) return;
  if (why != nullptr) refuse(why);
  char sentence[700];
  std::snprintf(sentence, sizeof sentence, "the GPU (%s) failed and is not used any more: %s.", description_.name,
                error_);
  say_once(Said::failed, sentence);
}

// Kernels that come from here on see what was copied in.
bool Gpu::await_copies() {
  if (!copying_in_) return true;
  copying_in_ = false;
  return check(driver_->event_record(copied_in_, copies_), "copy") &&
         check(driver_->stream_wait_event(stream_, copied_in_, 0), "copy");
}

bool Gpu::start(const char *kernel, const Shape &shape, const void *params, size_t) {
  if (!await_copies() || !check(code_->launch(kernel, shape, params, stream_), kernel)) return false;
  launched_ = pending_ = true;
  last_kernel_ = kernel;
  ++launches_;
  return true;
}

void *Gpu::scratch(size_t bytes) {
  void *memory = pool_.take(*driver_, bytes);
  if (memory == nullptr) say_exhausted(bytes);
  return memory;
}

void Gpu::say_exhausted(size_t bytes) const {
  char sentence[256];
  std::snprintf(sentence, sizeof sentence,
                "the GPU (%s) has no memory left (%zu more bytes were wanted): what does not fit is computed by the CPU.",
                description_.name, bytes);
  say_once(Said::memory_exhausted, sentence);
}

bool Gpu::clear(void *memory, size_t bytes) {
  if (!await_copies() ||
      !check(driver_->clear(reinterpret_cast<DevicePointer>(memory), 0, bytes, stream_), "clear"))
    return false;
  launched_ = pending_ = true;
  return true;
}

unsigned Gpu::resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes) {
  unsigned blocks = 0;
  return check(code_->resident_blocks(kernel, threads, shared_bytes, blocks), kernel) ? blocks : 0;
}

DevicePointer Gpu::allocate(size_t bytes) {
  DevicePointer memory = 0;
  if (driver_->memory_allocate(&memory, bytes == 0 ? 1 : bytes) == kSuccess) return memory;
  say_exhausted(bytes);
  return 0;
}

void *Gpu::allocate_shared(size_t bytes) {
  if (bytes == 0) bytes = 1;
  void *memory = nullptr;
  if (description_.integrated) {
    DevicePointer managed = 0;
    if (driver_->memory_allocate_managed(&managed, bytes, kAttachGlobal) != kSuccess) {
      say_exhausted(bytes);
      return nullptr;
    }
    memory = reinterpret_cast<void *>(managed);
  } else if (driver_->host_allocate(&memory, bytes, kPortable) != kSuccess) {
    return nullptr;  // copies are slower then
  }
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  shared_[reinterpret_cast<uintptr_t>(memory)] = bytes;
  return memory;
}

void Gpu::release_shared(void *memory) {
  {
    const std::lock_guard<std::mutex> lock(shared_mutex_);
    if (shared_.erase(reinterpret_cast<uintptr_t>(memory)) == 0) return;
  }
  // A driver that has failed gives nothing back.
  if (description_.integrated) {
    driver_->memory_free(reinterpret_cast<DevicePointer>(memory));
  } else {
    driver_->host_free(memory);
  }
}

bool Gpu::is_shared(const void *memory, size_t bytes) const {
  if (!description_.integrated) return false;
  const auto host = reinterpret_cast<uintptr_t>(memory);
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  auto after = shared_.upper_bound(host);
  if (after == shared_.begin()) return false;
  --after;
  return host + bytes <= after->first + after->second;
}

bool Gpu::copy_in(DevicePointer to, const void *from, size_t bytes) {
  if (bytes == 0) return true;
  const Stream stream = copies_ != nullptr ? copies_ : stream_;
  if (!check(driver_->copy_to_device(to, from, bytes, stream), "copy")) return false;
  copying_in_ = copies_ != nullptr;
  pending_ = true;
  bytes_in_ += static_cast<int64_t>(bytes);
  return true;
}

bool Gpu::copy_out(void *to, DevicePointer from, size_t bytes, int event) {
  if (bytes == 0) return true;
  const Stream stream = copies_ != nullptr ? copies_ : stream_;
  // A call of before the last hand-over is done.
  if (copies_ != nullptr && event < calls_ &&
      !check(driver_->stream_wait_event(copies_, events_[event], 0), "copy"))
    return false;
  if (!check(driver_->copy_to_host(to, from, bytes, stream), "copy")) return false;
  pending_ = true;
  bytes_out_ += static_cast<int64_t>(bytes);
  return true;
}

bool Gpu::write(DevicePointer to, const void *from, size_t bytes) {
  // Not a copy: one from pageable memory may wait for the kernels.
  bool well = await_copies();
  for (size_t at = 0; well && at < bytes; at += 4) {
    uint32_t word;
    std::memcpy(&word, static_cast<const char *>(from) + at, sizeof word);
    well = check(driver_->fill_words(to + at, word, 1, stream_), "write");
  }
  launched_ = pending_ = true;
  return well;
}

int Gpu::end_write() {
  const int call = calls_++;
  if (copies_ != nullptr) check(driver_->event_record(events_[call], stream_), "call");
  return call;
}

int Gpu::end_call(Operator op, int64_t launched) {
  const int call = end_write();
  ++call_counts_[static_cast<int>(op)];
  launch_counts_[static_cast<int>(op)] += launched;
  return call;
}

bool Gpu::hand_over() {
  bool well = mirrors.fetch_temporaries(*this);
  if (pending_) {
    // One wait, for the copies, which wait for the kernels.
    char awaited[128];
    std::snprintf(awaited, sizeof awaited, "%s or what was launched before it", last_kernel_);
    if (copies_ != nullptr && launched_)
      well = check(driver_->event_record(done_, stream_), awaited) &&
             check(driver_->stream_wait_event(copies_, done_, 0), awaited) && well;
    well = check(driver_->stream_synchronize(copies_ != nullptr ? copies_ : stream_), awaited) && well;
    ++hand_overs_;
  }
  mirrors.drop_temporaries();
  pool_.reset(*driver_);
  copying_in_ = launched_ = pending_ = false;
  calls_ = 0;
  return well;
}

void Gpu::count(edgekit_gpu_counts &counts) const {
  for (int place = 0; place < EDGEKIT_GPU_OPERATORS; ++place) {
    counts.calls[place] = call_counts_[place];
    counts.launches[place] = launch_counts_[place];
  }
  counts.hand_overs = hand_overs_;
  counts.bytes_to_gpu = bytes_in_;
  counts.bytes_to_cpu = bytes_out_;
}

}  // namespace edgekit::cuda
