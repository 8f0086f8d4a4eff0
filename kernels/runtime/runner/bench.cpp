#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/json.h"
#include "edgekit/tokenizer.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Tensors of a method's largest shapes, full of zeros.
class Zeros {
 public:
  explicit Zeros(const TensorSpec *specs, int count) : memory_(static_cast<size_t>(count)) {
    for (int index = 0; index < count; ++index) {
      const TensorSpec &spec = specs[index];
      size_t size = size_of(spec.dtype);
      for (int dimension = 0; dimension < spec.rank; ++dimension) size *= static_cast<size_t>(spec.shape[dimension]);
      bytes_ += static_cast<int64_t>(size);
      // Numbers of 8 bytes, so that every type is aligned.
      memory_[static_cast<size_t>(index)].resize(size / 8 + 1);
      tensors_.push_back({memory_[static_cast<size_t>(index)].data(), spec.dtype, spec.rank, spec.shape});
    }
  }

  const Tensor *data() const { return tensors_.data(); }
  int count() const { return static_cast<int>(tensors_.size()); }
  // Of the tensors themselves.
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<std::vector<double>> memory_;
  std::vector<Tensor> tensors_;
  int64_t bytes_ = 0;
};

// Runs a method once; gives the milliseconds.
double time_run(Session &session, const MethodSpec &method, const Zeros &inputs, const Zeros &outputs) {
  const auto start = Clock::now();
  if (!session.run(method.name, inputs.data(), inputs.count(), outputs.data(), outputs.count()))
    throw Failure(last_error());
  return milliseconds_since(start);
}

std::string megabytes(const Json &bytes) { return format("%.2f MB", 1e-6 * bytes.get<double>()); }

void print_memory(const Json &memory) {
  std::printf("  memory: peak %s, load %s, runs %s", megabytes(memory["peak"]).c_str(),
              megabytes(memory["peak_load"]).c_str(), megabytes(memory["peak_run"]).c_str());
  if (!memory["resident"].is_null()) std::printf("; resident %s", megabytes(memory["resident"]["peak"]).c_str());
  std::printf("\n  %-24s %12s %12s\n", "", "after load", "after runs");
  for (const auto &[name, bytes] : memory["after_runs"].items())
    std::printf("  %-24s %12s %12s\n", name.c_str(), megabytes(memory["after_load"][name]).c_str(),
                megabytes(bytes).c_str());
  if (!memory["libraries"].is_null())
    std::printf("  %-24s %12s %12s\n", "libraries", "", megabytes(memory["libraries"]).c_str());
}

}  // namespace

void run_bench(Session &session, const Request &request, double open_ms, MemoryParts &memory) {
  const MethodSpec *timed = &session.method(0);
  if (request.method) timed = session.find_method(request.method->c_str());
  if (timed == nullptr)
    throw UsageFailure(format("there is no method '%s': leave --method out for all.", request.method->c_str()));
  std::vector<const MethodSpec *> methods;
  for (int index = 0; index < session.method_count(); ++index)
    if (!request.method || &session.method(index) == timed) methods.push_back(&session.method(index));
  // What a task holds beside the session and tensors: a tokenizer, which is there before a method is loaded.
  TokenizerPointer tokenizer;
  if (std::strcmp(session.task(), "generate_text") == 0 &&
      !(tokenizer = Tokenizer::open((std::string(session.folder()) + "/tokenizer.json").c_str())))
    throw Failure(last_error());
  // The pool of threads is the runtime's, not the first delegate's that asks for it.
  const int thread_count = threads();
  memory.opened(session);
  const auto start = Clock::now();
  for (const MethodSpec *method : methods)
    if (!session.load(method->name)) throw Failure(last_error());
  const double load_ms = open_ms + milliseconds_since(start);
  memory.loaded(session);
  double first = 0;
  std::vector<double> times;
  // The timed one last, so that it finds what it left.
  std::stable_partition(methods.begin(), methods.end(), [&](const MethodSpec *method) { return method != timed; });
  for (const MethodSpec *method : methods) {
    memory.begin_run(session);
    int64_t bytes = 0;
    {
      const Zeros inputs(method->inputs, method->input_count), outputs(method->outputs, method->output_count);
      bytes = inputs.bytes() + outputs.bytes();
      first = time_run(session, *method, inputs, outputs);
      if (method == timed)
        for (int64_t run = 0; run < *request.bench; ++run)
          times.push_back(time_run(session, *method, inputs, outputs));
    }
    memory.end_run(session, bytes);
  }
  std::sort(times.begin(), times.end());
  const auto percentile = [&](double share) {  // the nearest rank
    const auto rank = static_cast<size_t>(share * static_cast<double>(times.size() - 1) + 0.5);
    return times[rank];
  };
  const Json parts = memory.json(session);
  if (request.json) {
    const Json found = {{"method", timed->name}, {"runs", *request.bench}, {"threads", thread_count},
                        {"load_ms", load_ms}, {"first_ms", first}, {"p50_ms", percentile(0.5)},
                        {"p90_ms", percentile(0.9)}, {"p99_ms", percentile(0.99)},
                        {"peak_memory_bytes", peak_memory()}, {"memory", parts}};
    std::printf("%s\n", found.dump(2).c_str());
    return;
  }
  std::printf("%s: %lld runs, %d threads\n", timed->name, static_cast<long long>(*request.bench), thread_count);
  std::printf("  load %.2f ms, first run %.2f ms\n", load_ms, first);
  std::printf("  p50 %.3f ms, p90 %.3f ms, p99 %.3f ms\n", percentile(0.5), percentile(0.9), percentile(0.99));
  print_memory(parts);
}

}  // namespace edgekit
