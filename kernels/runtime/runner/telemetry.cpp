#include "telemetry.h"

#include <glob.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace edgekit {
namespace {

constexpr char kFirmware[] = "get_throttled";
// Undervoltage, capped frequency, throttled, soft temperature limit: now; the same 16 bits higher: since it was started.
constexpr int64_t kThrottledNow = 0xf;

std::vector<std::string> files(const std::string &pattern) {
  std::vector<std::string> found;
  glob_t matches = {};
  if (glob(pattern.c_str(), 0, nullptr, &matches) == 0)
    found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  globfree(&matches);
  return found;
}

// A file's first line; "" where there is none.
std::string line_of(const std::string &path) {
  char line[128] = "";
  if (std::FILE *file = std::fopen(path.c_str(), "r")) {
    if (std::fgets(line, sizeof line, file) == nullptr) line[0] = '\0';
    std::fclose(file);
  }
  line[std::strcspn(line, "\n")] = '\0';
  return line;
}

std::optional<int64_t> number_of(const std::string &path, int base = 10) {
  const std::string line = line_of(path);
  char *end = nullptr;
  const long long number = std::strtoll(line.c_str(), &end, base);
  if (end == line.c_str()) return std::nullopt;
  return number;
}

// Of ".../cpu3/cpufreq/scaling_cur_freq" with 2: "cpu3".
std::string part_of(const std::string &path, int from_end) {
  size_t end = path.size();
  for (int skipped = 0; skipped < from_end; ++skipped) end = path.rfind('/', end - 1);
  return path.substr(path.rfind('/', end - 1) + 1, end - path.rfind('/', end - 1) - 1);
}

// Kilohertz by core.
Json clocks(const std::string &root, const char *file) {
  Json found = Json::object();
  for (const std::string &path : files(root + "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/" + file))
    if (const auto kilohertz = number_of(path)) found[part_of(path, 2)] = 1e-3 * static_cast<double>(*kilohertz);
  return found;
}

Json temperatures(const std::string &root) {
  Json found = Json::object();
  for (const std::string &path : files(root + "/sys/class/thermal/thermal_zone[0-9]*/temp")) {
    const auto thousandths = number_of(path);
    if (!thousandths) continue;  // a sensor that is switched off
    const std::string type = line_of(path.substr(0, path.rfind('/')) + "/type"), zone = part_of(path, 1);
    const std::string name = type.empty() ? zone : found.contains(type) ? type + " " + zone : type;
    found[name] = 1e-3 * static_cast<double>(*thousandths);
  }
  return found;
}

Json throttle_counts(const std::string &root) {
  Json found = Json::object();
  for (const std::string &path : files(root + "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"))
    if (const auto count = number_of(path)) found[part_of(path, 2) + " " + part_of(path, 0)] = *count;
  for (const std::string &path : files(root + "/sys/devices/platform/soc*/soc*firmware/" + kFirmware))
    if (const auto bits = number_of(path, 16)) found[kFirmware] = *bits;
  return found;
}

}  // namespace

Json read_telemetry(const std::string &root) {
  return {{"temperature_c", temperatures(root)},
          {"clock_mhz", clocks(root, "scaling_cur_freq")},
          {"max_clock_mhz", clocks(root, "cpuinfo_max_freq")},
          {"throttle_counts", throttle_counts(root)}};
}

std::optional<bool> was_throttled(const Json &before, const Json &after) {
  const Json &first = before["throttle_counts"], &last = after["throttle_counts"];
  if (last.empty()) return std::nullopt;
  for (const auto &[name, count] : last.items()) {
    if (name == kFirmware) {
      if ((count.get<int64_t>() & kThrottledNow) != 0) return true;
    }
    if (count != first.value(name, count)) return true;
  }
  return false;
}

}  // namespace edgekit
