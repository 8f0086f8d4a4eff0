// The runner: a bundle on a file or a prompt, without Python. What the program edgekit-run (launch/launch.cpp) calls.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "bench.h"
#include "core/failure.h"
#include "memory_timeline.h"
#include "peaks.h"
#include "tasks.h"

namespace edgekit {
namespace {

constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

struct Task {
  const char *name;
  void (*run)(Session &session, const Request &request);
};
constexpr Task kTasks[] = {{"detect_anomalies", run_detect_anomalies},
                            {"generate_text", run_generate_text},
                            {"segment", run_segment},
                            {"tensors", run_tensors}};

void write_log(void *, LogLevel level, const char *message) {
  const char *names[] = {"debug", "info", "warning", "error"};
  std::fprintf(stderr, "%s: %s\n", names[static_cast<size_t>(level)], message);
}

// LiteRT tells on stderr, once, that it made its delegate: not in the middle of a text.
void load_quietly(Session &session) {
  if (std::strstr(session.manifest(), "\"format\": \"tflite\"") == nullptr) return;
  std::fflush(stderr);
  const int shown = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
  if (shown >= 0 && nowhere >= 0) {
    dup2(nowhere, STDERR_FILENO);
    session.load(session.method(0).name);  // the first run says what is wrong
    dup2(shown, STDERR_FILENO);
  }
  if (shown >= 0) close(shown);
  if (nowhere >= 0) close(nowhere);
}

// The cores and the threads on them that were asked for.
void take_cores(const Request &request) {
  if (!request.cores.empty() && !set_cores(request.cores.data(), static_cast<int>(request.cores.size())))
    throw UsageFailure(last_error());
  if (request.threads && !set_threads(static_cast<int>(*request.threads))) throw UsageFailure(last_error());
}

void run(int count, char **arguments, HeapCount &counted) {
  const Request request = read_request(count, arguments);
  if (request.verbose) {
    set_log(write_log, nullptr);
  } else if (!request.quiet) {
    // What is an error is said in the sentence with which the runner ends.
    set_log([](void *user, LogLevel level, const char *message) {
      if (level == LogLevel::warning) write_log(user, level, message);
    }, nullptr, LogLevel::warning);
  }
  if (request.gpu) edgekit_use_gpu(*request.gpu);
  if (request.peaks) {
    take_only(request, {});
    take_cores(request);
    return run_peaks(request);
  }
  MemoryParts memory(counted);
  MemoryTimeline timeline(counted);
  const auto start = std::chrono::steady_clock::now();
  Options options;
  if (request.public_key) options.public_key = request.public_key->c_str();
  const SessionPointer session = Session::open(request.bundle.c_str(), options);
  if (!session && last_error_is_usage()) throw UsageFailure(last_error());
  if (!session) throw Failure(last_error());
  const std::chrono::duration<double, std::milli> load = std::chrono::steady_clock::now() - start;
  take_cores(request);
  if (request.bench) {
    take_only(request, {"method"});
    return run_bench(*session, request, load.count(), memory, timeline);
  }
  if (!request.verbose) load_quietly(*session);
  for (const Task &task : kTasks)
    if (std::strcmp(task.name, session->task()) == 0) return task.run(*session, request);
  throw Failure(format("%s is for the task '%s', which this edgekit-run does not know: install a newer one.",
                       request.bundle.c_str(), session->task()));
}

}  // namespace
}  // namespace edgekit

extern "C" EDGEKIT_RUNTIME_API int edgekit_run(int count, char **arguments,
                                                    edgekit::HeapCount *counted) {
  try {
    edgekit::run(count, arguments, *counted);
    return std::fflush(stdout) == 0 ? 0 : edgekit::kFailed;
  } catch (const edgekit::Interrupted &) {
    return edgekit::kInterrupted;
  } catch (const edgekit::UsageFailure &failure) {
    std::fprintf(stderr, "edgekit-run: error: %s\n", failure.what());
    return edgekit::kUsage;
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "edgekit-run: error: there is not enough memory: close something.\n");
    return edgekit::kFailed;
  } catch (const std::exception &failure) {
    std::fprintf(stderr, "edgekit-run: error: %s\n", failure.what());
    return edgekit::kFailed;
  }
}
