#include "executorch_tracer.h"

#include <executorch/runtime/platform/platform.h>

#include <algorithm>
#include <cctype>
#include <cstring>

namespace edgekit {
namespace {

namespace et = executorch::runtime;

constexpr char kOperatorCall[] = "OPERATOR_CALL", kDelegateCall[] = "DELEGATE_CALL";
constexpr int64_t kNone = -1;

et::EventTracerEntry entry_of(int64_t event) {
  return {event, et::kUnsetChainId, et::kUnsetDebugHandle, 0, et::DelegateDebugIdType::kNone};
}

// How much of a step's name is the delegate's own: ExecuTorch numbers those of one name, "Convolution (NHWC, F32) #2".
size_t own_length(const char *name) {
  const size_t size = std::strlen(name);
  size_t end = size;
  while (end > 0 && std::isdigit(static_cast<unsigned char>(name[end - 1]))) --end;
  return end < size && end >= 2 && name[end - 1] == '#' && name[end - 2] == ' ' ? end - 2 : size;
}

}  // namespace

ExecutorchTracer::ExecutorchTracer(TraceLog &log, size_t method, std::vector<std::vector<CallText>> calls)
    : log_(log), method_(method) {
  for (const std::vector<CallText> &chain : calls) {
    calls_.emplace_back();
    for (const CallText &call : chain)
      calls_.back().push_back({call.is_delegate ? EventKind::delegate : EventKind::call, -1,
                               static_cast<int64_t>(calls_.back().size()), log.names.keep(call.name), "", 0, 0});
  }
  const et_tick_ratio_t ratio = et::pal_ticks_to_ns_multiplier();
  ticks_to_us_ = 1e-3 * static_cast<double>(ratio.numerator) / static_cast<double>(ratio.denominator);
}

void ExecutorchTracer::begin() {
  events_.clear();
  events_.reserve(steps_.size());
  open_ = -1;
  recording_ = true;
  start_ = et::pal_current_ticks();
}

void ExecutorchTracer::end(bool keep) {
  const double us = microseconds(et::pal_current_ticks());
  recording_ = false;
  steps_.resize(std::max(steps_.size(), events_.size()));  // room for the next one
  if (keep) log_.runs.push_back({method_, us, std::move(events_)});
}

double ExecutorchTracer::microseconds(et_timestamp_t time) const {
  return ticks_to_us_ * static_cast<double>(static_cast<int64_t>(time - start_));
}

ExecutorchTracer::Entry ExecutorchTracer::start_profiling(const char *name, et::ChainID, et::DebugHandle) {
  if (!recording_ || open_ >= 0 || (std::strcmp(name, kOperatorCall) != 0 && std::strcmp(name, kDelegateCall) != 0))
    return entry_of(kNone);
  const auto chain = static_cast<size_t>(current_chain_id()), instruction = static_cast<size_t>(current_debug_handle());
  if (chain >= calls_.size() || instruction >= calls_[chain].size()) return entry_of(kNone);
  open_ = static_cast<int>(events_.size());
  inside_ = 0;
  events_.push_back(calls_[chain][instruction]);
  events_.back().start_us = microseconds(et::pal_current_ticks());
  return entry_of(open_);
}

void ExecutorchTracer::end_profiling(Entry entry) {
  if (!recording_ || entry.event_id == kNone) return;
  TraceEvent &event = events_[static_cast<size_t>(entry.event_id)];
  event.us = microseconds(et::pal_current_ticks()) - event.start_us;
  open_ = -1;
}

const char *ExecutorchTracer::step_name(const char *given, Id id) {
  const std::string by_id = given == nullptr ? "step " + std::to_string(id) : "";
  if (given == nullptr) given = by_id.c_str();
  if (events_.size() >= steps_.size()) steps_.resize(events_.size() + 1);
  Step &step = steps_[events_.size()];
  if (std::strcmp(step.given, given) != 0)
    step = {log_.names.keep(given), log_.names.keep({given, own_length(given)})};
  return step.name;
}

int ExecutorchTracer::add_inside(const char *name, Id id, et_timestamp_t start) {
  const int place = static_cast<int>(events_.size());
  const char *own = step_name(name, id);
  events_.push_back({EventKind::inside, open_, inside_++, own, "", microseconds(start), 0});
  return place;
}

ExecutorchTracer::Entry ExecutorchTracer::start_profiling_delegate(const char *name, Id id) {
  if (!recording_ || open_ < 0) return entry_of(kNone);
  return entry_of(add_inside(name, id, et::pal_current_ticks()));
}

void ExecutorchTracer::end_profiling_delegate(Entry entry, const void *, size_t) {
  if (!recording_ || entry.event_id == kNone) return;
  TraceEvent &event = events_[static_cast<size_t>(entry.event_id)];
  event.us = microseconds(et::pal_current_ticks()) - event.start_us;
}

void ExecutorchTracer::log_profiling_delegate(const char *name, Id id, et_timestamp_t start, et_timestamp_t end,
                                              const void *, size_t) {
  if (!recording_ || open_ < 0) return;
  const int place = add_inside(name, id, start);
  events_[static_cast<size_t>(place)].us = microseconds(end) - events_[static_cast<size_t>(place)].start_us;
}

}  // namespace edgekit
