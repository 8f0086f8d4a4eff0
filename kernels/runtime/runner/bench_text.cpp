#include "bench_text.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "gpu_report.h"

namespace edgekit {
namespace {

constexpr size_t kDearest = 10;

std::string text_of(const Json &value) { return value.get<std::string>(); }

std::string megabytes(const Json &bytes) { return format("%.2f MB", 1e-6 * bytes.get<double>()); }

void print_case(const Json &timed) {
  const double p50 = timed["p50_ms"], items = timed["items"];
  std::printf("%s: first run %.2f ms, p50 %.3f ms, p90 %.3f ms, p99 %.3f ms; %.4g %ss/s\n",
              text_of(timed["name"]).c_str(), timed["first_ms"].get<double>(), p50, timed["p90_ms"].get<double>(),
              timed["p99_ms"].get<double>(), p50 > 0 ? 1e3 * items / p50 : 0, text_of(timed["unit"]).c_str());
}

// Operators of one name are one line. A delegate is shown by what it does inside, where it says so.
void print_operators(const Json &timed) {
  struct Line {
    std::string name;
    int calls = 0;
    double us = 0;
  };
  const Json &operators = timed["operators"], &events = operators["events"];
  std::vector<bool> is_opened(events.size());
  for (const Json &event : events)
    if (!event["parent"].is_null()) is_opened[event["parent"].get<size_t>()] = true;
  std::map<std::string, Line> by_name;
  for (const Json &event : events) {
    if (is_opened[event["id"].get<size_t>()]) continue;
    const Json &parent = event["parent"];
    const std::string name = text_of(event["name"]) +
                             (parent.is_null() ? "" : " in " + text_of(events[parent.get<size_t>()]["name"]));
    Line &line = by_name[name];
    line.name = name;
    ++line.calls;
    line.us += event["p50_us"].get<double>();
  }
  std::vector<Line> lines;
  for (auto &[name, line] : by_name) lines.push_back(line);
  std::sort(lines.begin(), lines.end(), [](const Line &one, const Line &other) { return one.us > other.us; });
  // What the timing itself takes is nobody's share.
  const double whole = 1e3 * operators["untraced_p50_ms"].get<double>();
  std::printf("  operators: p50 %.3f ms with each of them timed, %.3f ms without\n", operators["p50_ms"].get<double>(),
              operators["untraced_p50_ms"].get<double>());
  std::printf("  %12s %7s %6s  %s\n", "us", "share", "calls", "operator");
  for (size_t place = 0; place < std::min(lines.size(), kDearest); ++place)
    std::printf("  %12.1f %5.1f %% %6d  %s\n", lines[place].us, whole > 0 ? 100 * lines[place].us / whole : 0,
                lines[place].calls, lines[place].name.c_str());
}

void print_memory(const Json &memory) {
  std::printf("memory: peak %s, load %s, runs %s", megabytes(memory["peak"]).c_str(),
              megabytes(memory["peak_load"]).c_str(), megabytes(memory["peak_run"]).c_str());
  if (!memory["resident"].is_null()) std::printf("; resident %s", megabytes(memory["resident"]["peak"]).c_str());
  std::printf("\n  %-24s %12s %12s\n", "", "after load", "after runs");
  for (const auto &[name, bytes] : memory["after_runs"].items())
    std::printf("  %-24s %12s %12s\n", name.c_str(), megabytes(memory["after_load"][name]).c_str(),
                megabytes(bytes).c_str());
  if (!memory["libraries"].is_null())
    std::printf("  %-24s %12s %12s\n", "libraries", "", megabytes(memory["libraries"]).c_str());
}

// The hottest zone and the fastest core, before and after.
void print_telemetry(const Json &telemetry) {
  const auto most = [](const Json &values) {
    double found = 0;
    for (const Json &value : values) found = std::max(found, value.get<double>());
    return found;
  };
  const Json &before = telemetry["before"], &after = telemetry["after"];
  if (!after["temperature_c"].empty())
    std::printf("temperature: %.1f C before, %.1f C after\n", most(before["temperature_c"]),
                most(after["temperature_c"]));
  if (!after["clock_mhz"].empty())
    std::printf("clock: %.0f MHz before, %.0f MHz after, of %.0f MHz\n", most(before["clock_mhz"]),
                most(after["clock_mhz"]), most(after["max_clock_mhz"]));
  if (telemetry["throttled"] == true) std::printf("the machine slowed itself down meanwhile: cool it, or rest it.\n");
}

}  // namespace

void print_bench(const Json &found) {
  std::printf("%lld runs after %lld, %d threads; loaded in %.2f ms\n", found["runs"].get<long long>(),
              found["warmup"].get<long long>(), found["threads"].get<int>(), found["load_ms"].get<double>());
  for (const Json &timed : found["cases"]) {
    print_case(timed);
    if (timed.contains("operators")) print_operators(timed);
  }
  if (found.contains("gpu")) print_gpu(found["gpu"], found["cases"]);
  print_memory(found["memory"]);
  print_telemetry(found["telemetry"]);
}

}  // namespace edgekit
