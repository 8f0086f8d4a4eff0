#include "litert_tracer.h"

#include <algorithm>
#include <string_view>

#include "core/failure.h"

namespace edgekit {
namespace {

using litert::Profiled;

// Events that the profiler may hold before they are read: its own room is limited.
constexpr int kMostHeld = 20000;
constexpr char kDelegate[] = "XNNPACK";

Failure unreadable() { return Failure("LiteRT's profile cannot be read: install the ai-edge-litert that edgekit names."); }

}  // namespace

LitertTracer::LitertTracer(const litert::Functions &litert, void *compiled, TraceLog &log) : litert_(litert), log_(log) {
  if (litert_.profiler(compiled, &profiler_) != litert::kOk || profiler_ == nullptr ||
      litert_.start_profiler(profiler_) != litert::kOk)
    throw unreadable();
}

void LitertTracer::begin() { start_ = std::chrono::steady_clock::now(); }

void LitertTracer::end(size_t method, const litert::Signature &signature, bool keep) {
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start_;
  int count = 0;
  if (litert_.count_profiled(profiler_, &count) != litert::kOk) throw unreadable();
  runs_.push_back({method, signature.subgraph, took.count(), keep, count});
  if (count > kMostHeld) drain();
}

void LitertTracer::drain() {
  if (runs_.empty()) return;
  int count = 0;
  if (litert_.count_profiled(profiler_, &count) != litert::kOk || count < runs_.back().end) throw unreadable();
  std::vector<Profiled> events(static_cast<size_t>(count));
  if (count > 0 && litert_.profiled(profiler_, count, events.data()) != litert::kOk) throw unreadable();
  const Profiled *first = events.data();
  for (const Run &run : runs_) {
    const Profiled *last = events.data() + run.end;
    if (run.keep) add_run(run, first, last);
    first = last;
  }
  runs_.clear();
  litert_.reset_profiler(profiler_);
}

void LitertTracer::add_run(const Run &run, const Profiled *first, const Profiled *last) {
  uint64_t origin = UINT64_MAX, end = 0;  // of the run in LiteRT's time
  for (const Profiled *event = first; event != last; ++event) {
    if (event->type != litert::kRuntimeEvent && event->type != litert::kNodeEvent) continue;
    origin = std::min(origin, event->start);
    if (event->type == litert::kRuntimeEvent && std::string_view(event->tag) == "Invoke")
      end = event->start + event->elapsed;
  }
  std::vector<TraceEvent> events;
  double now = 0;  // where the last node or call ended
  int call = -1;
  const auto end_call = [&](double at) {
    if (call >= 0) {
      TraceEvent &open = events[static_cast<size_t>(call)];
      double inside = 0;
      for (size_t step = static_cast<size_t>(call) + 1; step < events.size(); ++step) inside += events[step].us;
      open.us = std::max(inside, at - open.start_us);
      now = open.start_us + open.us;
    }
    call = -1;
  };
  for (const Profiled *event = first; event != last; ++event) {
    const double start = static_cast<double>(static_cast<int64_t>(event->start - origin));
    const double us = static_cast<double>(event->elapsed);
    if (event->type == litert::kRuntimeEvent && std::string_view(event->tag) == "Invoke") {
      now = start;
    } else if (event->type == litert::kNodeEvent) {
      if (start + us < now || (start < now && call < 0)) continue;  // a node of a graph that a node runs
      end_call(start);
      events.push_back({EventKind::call, -1, static_cast<int64_t>(event->place), node_name(run, *event), "", start, us});
      now = start + us;
    } else if (event->type == litert::kStepEvent) {
      double at = now;
      if (event->place == 0 && call >= 0) {  // another call
        for (size_t step = static_cast<size_t>(call) + 1; step < events.size(); ++step) at += events[step].us;
        end_call(at);
      }
      if (call < 0) {
        call = static_cast<int>(events.size());
        events.push_back({EventKind::delegate, -1, -1, kDelegate, "", now, 0});
      }
      at = events.back().start_us + events.back().us;
      events.push_back({EventKind::inside, call, static_cast<int64_t>(event->place), log_.names.keep(event->tag), "",
                        at, us});
    }
  }
  end_call(static_cast<double>(static_cast<int64_t>(end - origin)));
  log_.runs.push_back({run.method, run.us, std::move(events)});
}

const char *LitertTracer::node_name(const Run &run, const Profiled &node) {
  // A custom operator's tag is not always its name.
  size_t count = 0;
  void *op = nullptr;
  int code = 0;
  const char *custom = nullptr;
  if (litert_.count_ops(run.subgraph, &count) == litert::kOk && node.place < count &&
      litert_.op(run.subgraph, node.place, &op) == litert::kOk && litert_.op_code(op, &code) == litert::kOk &&
      code == litert::kCustomOperator && litert_.custom_code(op, &custom) == litert::kOk) {
    const std::string_view text(custom);
    return log_.names.keep(text.substr(0, text.find('?')));  // without its attributes
  }
  return log_.names.keep(node.tag);
}

}  // namespace edgekit
