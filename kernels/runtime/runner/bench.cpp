#include "bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "core/json.h"

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
      // Numbers of 8 bytes, so that every type is aligned.
      memory_[static_cast<size_t>(index)].resize(size / 8 + 1);
      tensors_.push_back({memory_[static_cast<size_t>(index)].data(), spec.dtype, spec.rank, spec.shape});
    }
  }

  const Tensor *data() const { return tensors_.data(); }
  int count() const { return static_cast<int>(tensors_.size()); }

 private:
  std::vector<std::vector<double>> memory_;
  std::vector<Tensor> tensors_;
};

}  // namespace

int64_t peak_memory() {
  // Of this program alone: what getrusage gives counts the process that started it, before it did.
  if (std::FILE *status = std::fopen("/proc/self/status", "r")) {
    char line[256];
    long long kilobytes = -1;
    while (kilobytes < 0 && std::fgets(line, sizeof line, status)) std::sscanf(line, "VmHWM: %lld kB", &kilobytes);
    std::fclose(status);
    if (kilobytes >= 0) return 1024 * kilobytes;
  }
  rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{1024} * usage.ru_maxrss : 0;
}

void run_bench(Session &session, const Request &request, double load_ms) {
  const MethodSpec *method = &session.method(0);
  if (request.method) method = session.find_method(request.method->c_str());
  if (method == nullptr)
    throw UsageFailure(format("there is no method '%s': leave --method out for the first.", request.method->c_str()));
  const Zeros inputs(method->inputs, method->input_count), outputs(method->outputs, method->output_count);
  std::vector<double> times;
  for (int64_t run = 0; run <= *request.bench; ++run) {
    const auto start = Clock::now();
    if (!session.run(method->name, inputs.data(), inputs.count(), outputs.data(), outputs.count()))
      throw Failure(last_error());
    times.push_back(milliseconds_since(start));
  }
  const double first = times.front();
  times.erase(times.begin());
  std::sort(times.begin(), times.end());
  const auto percentile = [&](double share) {  // the nearest rank
    const auto rank = static_cast<size_t>(share * static_cast<double>(times.size() - 1) + 0.5);
    return times[rank];
  };
  const Memory memory = session.memory();
  const int64_t peak = peak_memory();
  if (request.json) {
    const Json found = {{"method", method->name}, {"runs", *request.bench}, {"threads", threads()},
                        {"load_ms", load_ms}, {"first_ms", first}, {"p50_ms", percentile(0.5)},
                        {"p90_ms", percentile(0.9)}, {"p99_ms", percentile(0.99)}, {"peak_memory_bytes", peak},
                        {"memory", {{"program", memory.program}, {"arena", memory.arena}, {"state", memory.state},
                                    {"scratch", memory.scratch}, {"runtime", memory.runtime}}}};
    std::printf("%s\n", found.dump(2).c_str());
    return;
  }
  std::printf("%s: %lld runs, %d threads\n", method->name, static_cast<long long>(*request.bench), threads());
  std::printf("  load %.2f ms, first run %.2f ms\n", load_ms, first);
  std::printf("  p50 %.3f ms, p90 %.3f ms, p99 %.3f ms\n", percentile(0.5), percentile(0.9), percentile(0.99));
  std::printf("  peak memory %.1f MB; program %.1f kB, arena %.1f kB, state %.1f kB, scratch %.1f kB\n", 1e-6 * peak,
              1e-3 * memory.program, 1e-3 * memory.arena, 1e-3 * memory.state, 1e-3 * memory.scratch);
}

}  // namespace edgekit
