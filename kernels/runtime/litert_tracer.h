// What LiteRT's profiler has seen of a compiled model's runs.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/trace_log.h"
#include "litert_functions.h"
#include "litert_signature.h"

namespace edgekit {

// LiteRT tells of the nodes that it runs itself, with their times; of XNNPACK's calls only the steps inside, with how long
// they took. A call is what lies between two nodes.
class LitertTracer {
 public:
  // `compiled` was made with kProfiling; everything outlives it.
  LitertTracer(const litert::Functions &litert, void *compiled, TraceLog &log);

  // Around a run of a method.
  void begin();
  void end(size_t method, const litert::Signature &signature, bool keep);
  // Writes what the profiler holds to the log.
  void drain();

  // The option that compiles it in, for "runtime_options_string".
  static constexpr char kProfiling[] = "enable_profiling = true\n";

 private:
  struct Run {
    size_t method;
    void *subgraph;
    double us;
    bool keep;
    int end;  // events so far
  };

  void add_run(const Run &run, const litert::Profiled *first, const litert::Profiled *last);
  const char *node_name(const Run &run, const litert::Profiled &node);

  const litert::Functions &litert_;
  TraceLog &log_;
  void *profiler_ = nullptr;
  std::chrono::steady_clock::time_point start_;
  std::vector<Run> runs_;
};

}  // namespace edgekit
