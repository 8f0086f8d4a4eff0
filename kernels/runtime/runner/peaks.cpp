#include "peaks.h"

#include <executorch/runtime/kernel/thread_parallel_interface.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "core/json.h"
#include "edgekit/ops.h"
#include "edgekit/session.h"
#include "peaks_caches.h"
#include "peaks_kernels.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

// A figure is the best of many short measurements: other work on the machine only slows down, and does not fill all gaps.
constexpr int kLeastRepeats = 9;
constexpr double kLeastSeconds = 0.0005, kSeconds = 0.4;
// Beyond every cache, and no more than small boards have to spare.
constexpr int64_t kLeastMemory = 64 << 20, kMostMemory = 512 << 20;
constexpr size_t kBlock = 64;  // numbers that a StreamKernel takes at a time

// Calls work(0) to work(count - 1) on the threads that operators share, as operators do.
void on_all_threads(int count, const std::function<void(int)> &work) {
  executorch::extension::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) work(static_cast<int>(index));
  });
}

template <typename Work>
double seconds_of(const Work &work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The highest rate, in units a second, of `measure(rounds)`, which gives how many units it did.
double best_rate(const std::function<double(int64_t)> &measure) {
  int64_t rounds = 1;
  double best = 0, spent = 0;
  for (int repeats = 0; repeats < kLeastRepeats || spent < kSeconds; ++repeats) {
    double units = 0, seconds = 0;
    while ((seconds = seconds_of([&] { units = measure(rounds); })) < kLeastSeconds) rounds *= 2;
    best = std::max(best, units / seconds);
    spent += seconds;
  }
  return best;
}

Json arithmetic(const ComputeKernel *kernel, int threads) {
  if (kernel == nullptr) return nullptr;
  const double rate = best_rate([&](int64_t rounds) {
    std::vector<int64_t> done(static_cast<size_t>(threads) * 8);  // a cache line each
    on_all_threads(threads, [&](int thread) { done[static_cast<size_t>(thread) * 8] = kernel->run(rounds * 1000); });
    int64_t total = 0;
    for (const int64_t operations : done) total += operations;
    return static_cast<double>(total);
  });
  return {{"isa", kernel->isa}, {"giga_per_s", 1e-9 * rate}};
}

struct Free {
  void operator()(float *memory) const { std::free(memory); }
};
using Numbers = std::unique_ptr<float, Free>;

// Three arrays a thread, whose pages each thread has touched itself.
class Arrays {
 public:
  Arrays(int threads, size_t bytes) : threads_(threads), count_(bytes / 3 / sizeof(float) / kBlock * kBlock) {
    count_ = std::max(count_, kBlock);
    for (int index = 0; index < 3 * threads; ++index) {
      memory_.emplace_back(static_cast<float *>(std::aligned_alloc(64, count_ * sizeof(float))));
      if (!memory_.back()) throw std::bad_alloc();
    }
    on_all_threads(threads, [&](int thread) {
      for (int array = 0; array < 3; ++array) std::fill_n(of(thread, array), count_, 1.0f);
    });
  }

  float *of(int thread, int array) const { return memory_[static_cast<size_t>(3 * thread + array)].get(); }
  size_t count() const { return count_; }
  double bytes() const { return 3.0 * threads_ * static_cast<double>(count_) * sizeof(float); }

 private:
  int threads_;
  size_t count_;
  std::vector<Numbers> memory_;
};

// Bandwidth of passes over `bytes` a thread, in bytes a second: reading alone, and STREAM's triad, which reads two
// numbers for each that it writes.
Json bandwidth(const StreamKernel &kernel, int threads, size_t bytes) {
  const Arrays arrays(threads, bytes);
  const double read = best_rate([&](int64_t rounds) {
    on_all_threads(threads, [&](int thread) {
      float sum = 0;
      for (int64_t round = 0; round < rounds; ++round)
        for (int array = 0; array < 3; ++array) sum += kernel.read(arrays.of(thread, array), arrays.count());
      __asm__ volatile("" : : "m"(sum));
    });
    return static_cast<double>(rounds) * arrays.bytes();
  });
  const double triad = best_rate([&](int64_t rounds) {
    on_all_threads(threads, [&](int thread) {
      for (int64_t round = 0; round < rounds; ++round) {
        kernel.triad(arrays.of(thread, 0), arrays.of(thread, 1), arrays.of(thread, 2), 0.5f, arrays.count());
        __asm__ volatile("" : : : "memory");
      }
    });
    return static_cast<double>(rounds) * arrays.bytes();
  });
  return {{"read_gb_per_s", 1e-9 * read}, {"triad_gb_per_s", 1e-9 * triad}, {"bytes", arrays.bytes()}};
}

// Half of a cache, shared fairly among the threads that use it.
size_t half_of(const Cache &cache, int threads) {
  return static_cast<size_t>(cache.kb) * 1024 / 2 / static_cast<size_t>(std::min(cache.cores, threads));
}

// Four times the last cache, or what a quarter of the free memory has room for.
size_t beyond(const std::vector<Cache> &caches) {
  const int64_t last = caches.empty() ? 0 : int64_t{caches.back().kb} * 1024;
  const int64_t free_memory = int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const int64_t wanted = std::clamp(4 * last, kLeastMemory, kMostMemory);
  return static_cast<size_t>(std::max<int64_t>(std::min(wanted, free_memory / 4), 1 << 20));
}

double median_of(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

// Microseconds that it takes to hand work to all threads and to have them all back.
double handover(int threads) {
  std::vector<double> times;
  for (int repeat = 0; repeat < 2000; ++repeat)
    times.push_back(1e6 * seconds_of([&] {
      on_all_threads(threads, [](int index) { __asm__ volatile("" : : "r"(index)); });
    }));
  return median_of(times);
}

// Microseconds of an operator's call with next to nothing to do.
double empty_call() {
  const float x = 1;
  float value = 0;
  int64_t place = 0;
  alignas(64) char scratch[4096];
  const edgekit_context context = {scratch, sizeof scratch, 1, nullptr, nullptr};
  if (edgekit_sparse_topk_scratch(1, 1, 1) > sizeof scratch) throw Failure("sparse_topk wants more scratch than before.");
  constexpr int kCalls = 1000;
  std::vector<double> times;
  for (int repeat = 0; repeat < kLeastRepeats; ++repeat)
    times.push_back(1e6 / kCalls * seconds_of([&] {
      for (int call = 0; call < kCalls; ++call)
        if (edgekit_sparse_topk(&context, EDGEKIT_FLOAT32, &x, 1, 1, 1, true, &value, &place) != EDGEKIT_OK)
          throw Failure(edgekit_last_error());
    }));
  return median_of(times);
}

void print(const Json &found) {
  std::printf("%d threads\n", found["threads"].get<int>());
  for (const auto &[name, peak] : found["peaks"].items()) {
    if (peak.is_null()) continue;
    std::printf("  %-8s %10.1f G%s/s (%s)\n", name.c_str(), peak["giga_per_s"].get<double>(),
                name == "int8" ? "OP" : "FLOP", peak["isa"].get<std::string>().c_str());
  }
  const auto line = [](const std::string &name, const Json &level) {
    std::printf("  %-8s %10.1f GB/s read, %.1f GB/s triad\n", name.c_str(), level["read_gb_per_s"].get<double>(),
                level["triad_gb_per_s"].get<double>());
  };
  for (const Json &cache : found["caches"]) line("L" + std::to_string(cache["level"].get<int>()), cache);
  line("memory", found["memory"]);
  std::printf("  %-8s %10.2f us to all threads and back, %.2f us a call\n", "launch", found["handover_us"].get<double>(),
              found["call_us"].get<double>());
}

}  // namespace

void run_peaks(const Request &request) {
  const int count = threads();
  const StreamKernel &stream = *stream_kernel();
  const std::vector<Cache> caches = data_caches();
  Json levels = Json::array();
  for (const Cache &cache : caches) {
    Json level = bandwidth(stream, count, half_of(cache, count));
    level.update({{"level", cache.level}, {"kb", cache.kb}, {"cores", cache.cores}});
    levels.push_back(level);
  }
  const size_t large = beyond(caches) / static_cast<size_t>(count);
  const Json found = {{"runner", runtime_version()},
                      {"threads", count},
                      {"peaks",
                       {{"fp32", arithmetic(fp32_kernel(), count)},
                        {"fp16", arithmetic(fp16_kernel(), count)},
                        {"int8", arithmetic(int8_kernel(), count)}}},
                      {"stream_isa", stream.isa},
                      {"caches", levels},
                      {"memory", bandwidth(stream, count, large)},
                      {"handover_us", handover(count)},
                      {"call_us", empty_call()}};
  if (request.json)
    std::printf("%s\n", found.dump(2).c_str());
  else
    print(found);
}

}  // namespace edgekit
