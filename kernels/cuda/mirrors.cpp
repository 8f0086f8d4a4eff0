#include "mirrors.h"

#include <algorithm>

#include "gpu.h"

namespace edgekit::cuda {
namespace {

uintptr_t address(const void *memory) { return reinterpret_cast<uintptr_t>(memory); }

bool holds(const Mirror &mirror, uintptr_t host, size_t bytes) {
  return mirror.host <= host && host + bytes <= mirror.host + mirror.bytes;
}

bool meets(const Mirror &mirror, uintptr_t host, size_t bytes) {
  return mirror.host < host + bytes && host < mirror.host + mirror.bytes;
}

bool bring(Gpu &gpu, Mirror &mirror) {
  if (!mirror.is_current &&
      !gpu.copy_in(mirror.device, reinterpret_cast<const void *>(mirror.host), mirror.bytes))
    return false;
  mirror.is_current = true;
  return true;
}

bool ask_back(Gpu &gpu, const Mirror &mirror) {
  return !mirror.is_newer ||
         gpu.copy_out(reinterpret_cast<void *>(mirror.host), mirror.device, mirror.bytes, mirror.event);
}

}  // namespace

void Mirrors::keep(const void *memory, size_t bytes, bool is_state) { kept_[address(memory)] = {bytes, is_state}; }

const Mirrors::Kept *Mirrors::kept_around(uintptr_t host, size_t bytes) const {
  auto after = kept_.upper_bound(host);
  if (after == kept_.begin()) return nullptr;
  const auto &[start, kept] = *--after;
  return host + bytes <= start + kept.bytes ? &kept : nullptr;
}

bool Mirrors::is_kept(const void *memory, size_t bytes) const { return kept_around(address(memory), bytes) != nullptr; }

void Mirrors::forget(Gpu &gpu, const void *memory) {
  const auto found = kept_.find(address(memory));
  if (found == kept_.end()) return;
  const uintptr_t end = found->first + found->second.bytes;
  for (auto at = constants_.lower_bound(found->first); at != constants_.end() && at->first < end;) {
    gpu.release(at->second.device);
    at = constants_.erase(at);
  }
  for (auto at = states_.lower_bound(found->first); at != states_.end() && at->first < end;) {
    gpu.release(at->second.device);
    at = states_.erase(at);
    state_count_ = states_.size();
  }
  kept_.erase(found);
}

Mirror *Mirrors::find(Gpu &gpu, const void *memory, size_t bytes, bool read, bool written) {
  const uintptr_t host = address(memory);
  for (Mirror &mirror : temporaries_) {
    if (!meets(mirror, host, bytes)) continue;
    if (holds(mirror, host, bytes) && mirror.is_current) return &mirror;
    // What is written whole takes the place of what was there.
    const bool is_replaced = written && !read && host <= mirror.host && mirror.host + mirror.bytes <= host + bytes;
    if (mirror.is_newer && !is_replaced) return nullptr;
    mirror.is_newer = mirror.is_newer && !is_replaced;
    if (written) mirror.is_current = false;  // what it was copied for has been launched
  }
  const Kept *kept = kept_around(host, bytes);
  if (kept != nullptr && !kept->is_state && !written) {
    for (auto at = constants_.find(host); at != constants_.end() && at->first == host; ++at)
      if (at->second.bytes >= bytes) return &at->second;
    Mirror made{host, bytes, gpu.allocate(bytes), Mirror::Kind::constant, false, false, 0};
    if (made.device == 0) return nullptr;
    if (bring(gpu, made)) return &constants_.emplace(host, made)->second;
    gpu.release(made.device);
    return nullptr;
  }
  if (kept != nullptr && kept->is_state) {
    auto after = states_.upper_bound(host);
    if (after != states_.end() && meets(after->second, host, bytes)) return nullptr;
    if (after != states_.begin()) {
      Mirror &before = (--after)->second;
      if (holds(before, host, bytes)) return !read || bring(gpu, before) ? &before : nullptr;
      if (meets(before, host, bytes)) return nullptr;
    }
    Mirror made{host, bytes, gpu.allocate(bytes), Mirror::Kind::state, false, false, 0};
    if (made.device == 0) return nullptr;
    Mirror &mirror = states_.emplace(host, made).first->second;
    state_count_ = states_.size();
    return bring(gpu, mirror) ? &mirror : nullptr;
  }
  if (temporaries_.size() == kMost) return nullptr;
  temporaries_.reserve(kMost);
  void *device = gpu.scratch(bytes);
  if (device == nullptr) return nullptr;
  Mirror made{host, bytes, reinterpret_cast<DevicePointer>(device), Mirror::Kind::temporary, !read, false, 0};
  if (!bring(gpu, made)) return nullptr;
  temporaries_.push_back(made);
  return &temporaries_.back();
}

bool Mirrors::has_newer(const void *memory, size_t bytes) const {
  return std::any_of(temporaries_.begin(), temporaries_.end(), [&](const Mirror &mirror) {
    return mirror.is_newer && meets(mirror, address(memory), bytes);
  });
}

bool Mirrors::has_newer_state() const {
  return std::any_of(states_.begin(), states_.end(), [](const auto &entry) { return entry.second.is_newer; });
}

bool Mirrors::fetch_temporaries(Gpu &gpu) {
  bool well = true;
  for (const Mirror &mirror : temporaries_) well = ask_back(gpu, mirror) && well;
  return well;
}

bool Mirrors::fetch_states(Gpu &gpu, const void *memory, size_t bytes) {
  std::vector<Mirror *> newer;
  for (auto &[host, mirror] : states_)
    if (mirror.is_newer && meets(mirror, address(memory), bytes)) newer.push_back(&mirror);
  if (newer.empty()) return true;
  bool well = true;
  for (const Mirror *mirror : newer) well = ask_back(gpu, *mirror) && well;
  if (!gpu.hand_over() || !well) return false;
  for (Mirror *mirror : newer) mirror->is_newer = false;
  return true;
}

void Mirrors::outdate_states(const void *memory, size_t bytes) {
  for (auto &[host, mirror] : states_)
    if (meets(mirror, address(memory), bytes)) mirror.is_current = false;
}

}  // namespace edgekit::cuda
