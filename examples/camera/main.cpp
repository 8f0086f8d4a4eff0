// Objects in frames from a camera, a video or a folder of images: a line of JSON for each frame on stdout.
//
//     edgekit_DIR=$(python -c "import edgekit_runtime; print(edgekit_runtime.__path__[0])")/cmake
//     cmake -S examples/camera -B build/camera -Dedgekit_DIR=$edgekit_DIR && cmake --build build/camera
//     build/camera/camera bundles/rpcanet-s1-linux-x86_64-fp32 0 --overlay found > objects.jsonl
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>

#include "camera_loop.h"
#include "interrupts.h"

namespace {

constexpr int kDone = 0, kFailed = 1, kUsage = 2;
constexpr char kHelp[] =
    "usage: camera BUNDLE INPUT [option]...\n"
    "\n"
    "INPUT is a camera's number, an address (rtsp://..., http://...), a video file or a folder of images.\n"
    "\n"
    "  --queue N         frames that wait for the program (2)\n"
    "  --drop HOW        when the queue is full: oldest (cameras and addresses), never (files)\n"
    "  --overlay DIR     write each frame with what was found in it as PNG\n"
    "  --threshold T     an object is where a logit is above it, in place of the bundle's own\n"
    "  --fit HOW         how frames come to the program's size: resize (at first), pad or tile\n"
    "  --threads N       threads of the program (one for each core)\n";

struct Request {
  std::string input;
  FinderSettings finder;
  LoopSettings loop;
  std::optional<WhenFull> when_full;
  int threads = 0;
};

// A whole number of 1 or more; 0 for what is none.
int number_of(const char *text) {
  char *end = nullptr;
  const long number = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && number > 0 && number <= 1'000'000 ? static_cast<int>(number) : 0;
}

// What is wrong with the value of an option; "" if nothing.
std::string take_option(const std::string &name, const char *value, Request &request) {
  const auto wrong = [&](const char *wanted) { return name + " " + value + ": give " + wanted + "."; };
  if (name == "--queue") {
    const int number = number_of(value);
    if (number == 0) return wrong("a number of frames, 1 or more");
    request.loop.queue = static_cast<size_t>(number);
  } else if (name == "--threads") {
    request.threads = number_of(value);
    if (request.threads == 0) return wrong("a number of threads, 1 or more");
  } else if (name == "--drop") {
    if (std::strcmp(value, "oldest") != 0 && std::strcmp(value, "never") != 0) return wrong("oldest or never");
    request.when_full = std::strcmp(value, "oldest") == 0 ? WhenFull::drop_oldest : WhenFull::wait;
  } else if (name == "--threshold") {
    char *end = nullptr;
    request.finder.threshold = std::strtod(value, &end);
    if (end == value || *end != '\0') return wrong("a number");
  } else if (name == "--overlay") {
    request.loop.overlay_folder = value;
  } else if (name == "--fit") {
    request.finder.fit = value;
  } else {
    return "unknown option " + name + ": camera --help shows those that there are.";
  }
  return "";
}

// What is wrong with the command line; "" if nothing.
std::string read(int count, char **arguments, Request &request) {
  int places = 0;
  for (int index = 1; index < count; ++index) {
    const std::string word = arguments[index];
    if (word.rfind("--", 0) != 0) {
      if (places == 2) return word + " is one word too many: give a bundle and an input.";
      (places++ == 0 ? request.finder.bundle : request.input) = word;
      continue;
    }
    if (index + 1 == count) return word + " needs a value: camera --help shows which.";
    const std::string problem = take_option(word, arguments[++index], request);
    if (!problem.empty()) return problem;
  }
  return places == 2 ? "" : "a bundle and an input are needed: camera BUNDLE INPUT.";
}

void print_times(const char *name, const Times &times) {
  if (times.is_empty()) return;
  std::fprintf(stderr, "%-12s %8.2f %8.2f %8.2f\n", name, times.percentile(0.5), times.percentile(0.9),
               times.percentile(0.99));
}

void print(const LoopReport &report) {
  std::fprintf(stderr, "%lld frames, %zu dropped, %lld unreadable, %lld failed",
               static_cast<long long>(report.frames), report.dropped, static_cast<long long>(report.unreadable),
               static_cast<long long>(report.failed));
  if (report.not_drawn > 0)
    std::fprintf(stderr, ", %lld overlays not written", static_cast<long long>(report.not_drawn));
  std::fprintf(stderr, ".\n");
  if (report.frames == 0) return;
  std::fprintf(stderr, "%-12s %8s %8s %8s\n", report.frames > static_cast<int64_t>(Times::kMost) ? "ms, newest" : "ms",
               "p50", "p90", "p99");
  print_times("decode", report.decode);
  print_times("queue", report.queue_wait);
  print_times("program", report.program);
  print_times("added", report.added);
  print_times("end to end", report.end_to_end);
  print_times("overlay", report.overlay);
}

int fail(const std::string &why, int code) {
  std::fprintf(stderr, "%s\n", why.c_str());
  return code;
}

int code_of(bool is_usage) { return is_usage ? kUsage : kFailed; }

}  // namespace

int main(int count, char **arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--help") == 0) return std::fputs(kHelp, stdout), kDone;
  Request request;
  std::string why = read(count, arguments, request);
  if (!why.empty()) return fail(why, kUsage);
  std::signal(SIGPIPE, SIG_IGN);  // a reader that is gone is told by the failed write

  std::mutex mutex;
  CameraLoop *running = nullptr;
  const auto run_now = [&](CameraLoop *loop) {
    const std::lock_guard<std::mutex> lock(mutex);
    running = loop;
  };
  Interrupts interrupts([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    if (running != nullptr) running->stop();
  });
  if (!edgekit::set_threads(request.threads))
    return fail(edgekit::last_error(), code_of(edgekit::last_error_is_usage()));
  const std::unique_ptr<ObjectFinder> finder = ObjectFinder::open(request.finder, &why);
  if (!finder) return fail(why, code_of(edgekit::last_error_is_usage()));
  const std::unique_ptr<FrameSource> source = open_source(request.input, &why);
  if (!source) return fail(why, kUsage);
  request.loop.when_full = request.when_full.value_or(source->is_live() ? WhenFull::drop_oldest : WhenFull::wait);
  CameraLoop loop(*source, *finder, request.loop, stdout, stderr);
  run_now(&loop);
  if (interrupts.came()) loop.stop();  // before there was a loop to stop
  const LoopReport report = loop.run();
  run_now(nullptr);
  print(report);
  if (interrupts.came()) return Interrupts::kExitCode;
  if (report.frames == 0) return fail("no frame was looked at: see above.", kFailed);
  return report.is_lost || report.is_cut || report.not_drawn > 0 ? kFailed : kDone;
}
