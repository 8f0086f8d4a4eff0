#include "operator_times.h"

#include <algorithm>
#include <chrono>

#include "edgekit/trace.h"
#include "percentile.h"
#include "rounded.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

// Runs of one kind before it is the other's turn. The first after a change is not counted: it finds the other one's
// weights in the caches.
constexpr int64_t kTurn = 5;

struct Traced {
  Clock::time_point start;
  double ms;
  int place;  // among the session's traced runs
};

[[noreturn]] void fail() {
  if (last_error_is_usage()) throw UsageFailure(last_error());
  throw Failure(last_error());
}

// Whether two runs did the same, one by one.
bool same(const std::vector<TraceEvent> &one, const std::vector<TraceEvent> &other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const TraceEvent &event, const TraceEvent &with) {
                      return event.name == with.name && event.kind == with.kind && event.index == with.index &&
                             event.parent == with.parent;
                    });
}

// The steps of a delegate are cut off to whole microseconds: each lost half of one by chance, where the call took so much
// more than their sum.
void mend_steps(std::vector<TraceEvent> &events) {
  for (size_t call = 0; call < events.size(); ++call) {
    double rest = events[call].us, count = 0;
    for (const TraceEvent &event : events)
      if (event.parent == static_cast<int>(call)) rest -= event.us, ++count;
    if (count == 0 || rest <= 0) continue;
    const double lost = std::min(0.5, rest / count);
    double before = 0;
    for (TraceEvent &event : events) {
      if (event.parent != static_cast<int>(call)) continue;
      event.start_us += before;
      event.us += lost;
      before += lost;
    }
  }
}

std::vector<TraceEvent> mended(const TracedRun &run) {
  std::vector<TraceEvent> events(run.events, run.events + run.event_count);
  mend_steps(events);
  return events;
}

Json events_of(const std::vector<std::vector<TraceEvent>> &runs, const std::vector<TraceEvent> &shown) {
  Json events = Json::array();
  for (size_t place = 0; place < shown.size(); ++place) {
    const TraceEvent &event = shown[place];
    std::vector<double> times;
    for (const std::vector<TraceEvent> &run : runs) times.push_back(run[place].us);
    Json found = {{"id", place},
                  {"parent", event.parent < 0 ? Json() : Json(event.parent)},
                  {"kind", name_of(event.kind)},
                  {"name", event.name},
                  {"index", event.index < 0 ? Json() : Json(event.index)},
                  {"calls", 1},
                  {"p50_us", rounded(middle(times))},
                  {"start_us", rounded(event.start_us)},
                  {"us", rounded(event.us)}};
    if (*event.node != '\0') found["node"] = event.node;
    events.push_back(std::move(found));
  }
  return events;
}

}  // namespace

Json time_operators(Session &session, const CaseText &text, int64_t runs, const MemoryTimeline &timeline) {
  const std::unique_ptr<BenchCase> bench = make_case(session, text);
  std::vector<double> untraced;
  std::vector<Traced> traced;
  int traced_runs = 0;  // of the session
  for (int64_t done = 0; done < runs; done += kTurn) {
    const int64_t turn = std::min(kTurn, runs - done);
    for (const bool tracing : {true, false}) {
      if (!session.trace(tracing)) fail();
      for (int64_t run = -1; run < turn; ++run) {
        const int before = bench->session_runs();
        const Clock::time_point start = Clock::now();
        const double ms = bench->run(session);
        if (tracing) traced_runs += bench->session_runs() - before;
        if (run < 0) continue;
        if (tracing) {
          traced.push_back({start, ms, traced_runs - 1});
        } else {
          untraced.push_back(ms);
        }
      }
    }
  }
  const TracePointer trace = session.take_trace();
  if (!trace) fail();
  if (trace->run_count() != traced_runs)
    throw Failure(format("%d runs of '%s' were traced, %d were seen: install the runtime that fits the bundle.",
                         traced_runs, text.name.c_str(), trace->run_count()));
  std::vector<double> times;
  for (const Traced &run : traced) times.push_back(run.ms);
  const Traced &median = *std::find_if(traced.begin(), traced.end(), [middle = percentile(times, 0.5)](const Traced &run) {
    return run.ms == middle;
  });
  const std::vector<TraceEvent> shown = mended(trace->run(median.place));
  std::vector<std::vector<TraceEvent>> counted;
  for (const Traced &run : traced)
    if (std::vector<TraceEvent> events = mended(trace->run(run.place)); same(events, shown))
      counted.push_back(std::move(events));
  return {{"runs", counted.size()},
          {"p50_ms", rounded(percentile(times, 0.5))},
          {"untraced_p50_ms", rounded(percentile(untraced, 0.5))},
          {"start_us", rounded(1e3 * timeline.milliseconds(median.start))},
          {"events", events_of(counted, shown)}};
}

}  // namespace edgekit
