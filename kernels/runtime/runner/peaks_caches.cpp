#include "peaks_caches.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

namespace edgekit {
namespace {

std::string first_line(const std::string &path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of a list such as "0-3,8".
int count_of(const std::string &list) {
  int count = 0;
  const char *text = list.c_str();
  while (*text != '\0') {
    char *end = nullptr;
    const long first = std::strtol(text, &end, 10);
    if (end == text) break;
    long last = first;
    if (*end == '-') last = std::strtol(end + 1, &end, 10);
    count += static_cast<int>(last - first + 1);
    text = *end == ',' ? end + 1 : end;
  }
  return std::max(count, 1);
}

}  // namespace

std::vector<Cache> data_caches() {
  std::vector<Cache> caches;
  for (int index = 0;; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const std::string level = first_line(folder + "level");
    if (level.empty()) break;
    if (first_line(folder + "type") == "Instruction") continue;
    const std::string size = first_line(folder + "size");  // such as "1024K"
    const int kb = std::atoi(size.c_str()) * (size.back() == 'M' ? 1024 : 1);
    if (kb > 0) caches.push_back({std::atoi(level.c_str()), kb, count_of(first_line(folder + "shared_cpu_list"))});
  }
  std::sort(caches.begin(), caches.end(), [](const Cache &a, const Cache &b) { return a.level < b.level; });
  return caches;
}

}  // namespace edgekit
