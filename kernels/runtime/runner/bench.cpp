#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench_case.h"
#include "bench_text.h"
#include "core/json.h"
#include "cpu_mask.h"
#include "edgekit/tokenizer.h"
#include "gpu_report.h"
#include "operator_times.h"
#include "percentile.h"
#include "rounded.h"
#include "telemetry.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWarmup = 5;

// The methods to load, each of `timed` after those that are not, so that it finds what they left.
std::vector<const MethodSpec *> methods_of(const Session &session, const Request &request,
                                           const std::vector<CaseText> &timed) {
  std::vector<const MethodSpec *> found;
  for (int index = 0; index < session.method_count(); ++index)
    if (!request.method || &session.method(index) == timed[0].method) found.push_back(&session.method(index));
  std::stable_partition(found.begin(), found.end(), [&](const MethodSpec *method) {
    return std::none_of(timed.begin(), timed.end(), [&](const CaseText &text) { return text.method == method; });
  });
  return found;
}

// The first runs of a method: of its cases, in milliseconds by their place, and on its largest shapes.
void run_first(Session &session, const MethodSpec &method, const std::vector<CaseText> &cases,
               std::vector<double> &first, MemoryParts &memory) {
  memory.begin_run(session);
  int64_t bytes = 0;
  for (size_t place = 0; place < cases.size(); ++place)
    if (cases[place].method == &method && !cases[place].is_largest)
      first[place] = make_case(session, cases[place])->run(session);
  {
    LargestCase largest(method);
    bytes = largest.bytes();
    const double ms = largest.run(session);
    for (size_t place = 0; place < cases.size(); ++place)
      if (cases[place].method == &method && cases[place].is_largest) first[place] = ms;
  }
  memory.end_run(session, bytes);
}

struct Timed {
  std::vector<double> times;
  Json gpu;  // what a call did on it; null where no operator goes there
};

Timed time_case(Session &session, const CaseText &text, int64_t warmup, int64_t runs) {
  const std::unique_ptr<BenchCase> bench = make_case(session, text);
  for (int64_t run = 0; run < warmup; ++run) bench->run(session);
  Timed timed;
  const GpuCounts counts;
  const int runs_before = bench->session_runs();
  for (int64_t run = 0; run < runs; ++run) timed.times.push_back(bench->run(session));
  if (session.uses_gpu()) timed.gpu = counts.json(bench->session_runs() - runs_before);
  return timed;
}

Json case_json(const CaseText &text, double first, const Timed &timed) {
  const std::vector<double> &times = timed.times;
  Json in_order = Json::array();
  for (const double time : times) in_order.push_back(rounded(time));
  Json found = {{"name", text.name},
                {"method", text.method->name},
                {"rows", text.rows ? Json(*text.rows) : Json()},
                {"items", text.items},
                {"unit", text.unit},
                {"first_ms", rounded(first)},
                {"times_ms", std::move(in_order)},
                {"p50_ms", rounded(percentile(times, 0.5))},
                {"p90_ms", rounded(percentile(times, 0.9))},
                {"p99_ms", rounded(percentile(times, 0.99))}};
  if (!timed.gpu.is_null()) found["gpu"] = timed.gpu;
  return found;
}

}  // namespace

void run_bench(Session &session, const Request &request, double open_ms, MemoryParts &memory,
               MemoryTimeline &timeline) {
  const std::vector<CaseText> cases = cases_of(session, request.method);
  const std::vector<const MethodSpec *> methods = methods_of(session, request, cases);
  const int64_t warmup = request.warmup.value_or(kWarmup);
  // What a task holds beside the session and tensors: a tokenizer, which is there before a method is loaded.
  TokenizerPointer tokenizer;
  if (std::strcmp(session.task(), "generate_text") == 0 &&
      !(tokenizer = Tokenizer::open((std::string(session.folder()) + "/tokenizer.json").c_str())))
    throw Failure(last_error());
  // The pool of threads is the runtime's, not the first delegate's that asks for it.
  const int thread_count = threads();
  memory.opened(session);
  timeline.mark("opened");
  double load_ms = open_ms;
  for (int index = 0; index < session.method_count(); ++index) {
    const MethodSpec *method = &session.method(index);
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) continue;
    const auto start = Clock::now();
    if (!session.load(method->name)) throw Failure(last_error());
    load_ms += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    timeline.mark(std::string("loaded ") + method->name);
  }
  memory.loaded(session);
  std::vector<double> first(cases.size());
  for (const MethodSpec *method : methods) {
    run_first(session, *method, cases, first, memory);
    timeline.mark(std::string("first run of ") + method->name);
  }
  const Json before = read_telemetry();
  Json timed = Json::array();
  for (size_t place = 0; place < cases.size(); ++place)
    timed.push_back(case_json(cases[place], first[place], time_case(session, cases[place], warmup, *request.bench)));
  const Json after = read_telemetry();
  timeline.mark("after runs");
  Json found = {{"runner", runtime_version()},
                {"runs", *request.bench},
                {"warmup", warmup},
                {"threads", thread_count},
                {"cpu_mask", request.cores.empty() ? Json() : Json(mask_of_cores(request.cores))},
                {"open_ms", rounded(open_ms)},
                {"load_ms", rounded(load_ms)},
                {"cases", std::move(timed)},
                {"peak_memory_bytes", peak_memory()},
                {"memory", memory.json(session)}};
  timeline.mark_peak(memory.counted_peak());
  if (Json gpu = gpu_json(session); !gpu.is_null()) found["gpu"] = std::move(gpu);
  const std::optional<bool> throttled = was_throttled(before, after);
  found["memory_timeline"] = timeline.json();
  found["telemetry"] = {{"before", before}, {"after", after}, {"throttled", throttled ? Json(*throttled) : Json()}};
  // Afterwards: traced methods take memory of their own.
  if (request.operators)
    for (size_t place = 0; place < cases.size(); ++place)
      found["cases"][place]["operators"] = time_operators(session, cases[place], *request.bench, timeline);
  if (request.json) {
    std::printf("%s\n", found.dump(2).c_str());
  } else {
    print_bench(found);
  }
}

}  // namespace edgekit
