// What runs consist of: every operator, with its time.
//
// Purpose. For profilers. A Session that traces times each operator of its runs, the runtime's, edgekit's own, and what
// a delegate does inside; take_trace() gives what was seen. A session that does not trace pays nothing for it.
//
// Example. The operators of one run, with their shares:
//
//     session->trace(true);
//     session->run("forward", &image, 1, &logits, 1);
//     const edgekit::TracePointer trace = session->take_trace();
//     if (!trace) return fail(edgekit::last_error());
//     const edgekit::TracedRun &run = trace->run(0);
//     for (int event = 0; event < run.event_count; ++event)
//       if (run.events[event].parent < 0)
//         std::printf("%s %.1f %%\n", run.events[event].name, 100 * run.events[event].us / run.us);
//
// Errors are as in session.h.
#ifndef EDGEKIT_TRACE_H
#define EDGEKIT_TRACE_H

#include <cstdint>
#include <memory>

#include "session.h"

namespace edgekit {

// `call`: of one of edgekit's operators or the runtime's own. `delegate`: of a delegate. `inside`: what a delegate does
// in a call of it.
enum class EventKind : uint8_t { call, delegate, inside };

// "operator", "delegate" or "inside".
EDGEKIT_RUNTIME_API const char *name_of(EventKind kind) noexcept;

// Something that ran. Events without a parent do not overlap, those of one parent neither.
struct TraceEvent {
  EventKind kind;
  int parent;        // its place among the run's events, -1 for none
  int64_t index;     // of the instruction (.pte) or node (.tflite, .onnx) in its method, -1 where the runtime does not
                     // tell; inside, of the step in the call
  const char *name;  // the operator's, such as "edgekit::conv2d.out"
  const char *node;  // the node's, where the format has names for them; else ""
  double start_us;   // from the run's start; inside a delegate, where only durations are known, one after the other
  double us;         // what a delegate says of itself is in whole microseconds
};

struct TracedRun {
  const char *method;
  double us;  // from start to end
  int event_count;
  const TraceEvent *events;  // in the order in which they began
};

struct TraceDeleter {
  EDGEKIT_RUNTIME_API void operator()(Trace *trace) const noexcept;
};
using TracePointer = std::unique_ptr<Trace, TraceDeleter>;

class EDGEKIT_RUNTIME_API Trace {
 public:
  int run_count() const noexcept;
  const TracedRun &run(int index) const noexcept;

  Trace(const Trace &) = delete;
  Trace &operator=(const Trace &) = delete;

 private:
  friend class Session;
  friend struct TraceDeleter;
  struct Impl;
  explicit Trace(std::unique_ptr<Impl> impl) noexcept;
  ~Trace();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_TRACE_H
