#include "memory_parts.h"

#include <fcntl.h>
#include <link.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

namespace edgekit {
namespace {

// Reads which pages the process has in memory.
class PageMap {
 public:
  PageMap() : file_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)), page_(static_cast<uint64_t>(getpagesize())) {}
  ~PageMap() {
    if (file_ >= 0) close(file_);
  }
  bool is_readable() const { return file_ >= 0; }

  // Bytes of the whole pages from `start` to `end`, addresses, that are in memory.
  int64_t resident(uint64_t start, uint64_t end) const {
    int64_t pages = 0;
    uint64_t entries[512];
    for (uint64_t page = start / page_, last = (end + page_ - 1) / page_; page < last;) {
      const uint64_t wanted = std::min<uint64_t>(last - page, 512);
      const ssize_t got = pread(file_, entries, 8 * wanted, static_cast<off_t>(8 * page));
      if (got <= 0) break;
      for (ssize_t entry = 0; entry < got / 8; ++entry) pages += static_cast<int64_t>(entries[entry] >> 63);
      page += static_cast<uint64_t>(got) / 8;
    }
    return pages * static_cast<int64_t>(page_);
  }

 private:
  int file_;
  uint64_t page_;
};

int add_library(dl_phdr_info *info, size_t, void *user) {
  auto &[pages, bytes] = *static_cast<std::pair<const PageMap &, int64_t> *>(user);
  for (int index = 0; index < info->dlpi_phnum; ++index) {
    const auto &header = info->dlpi_phdr[index];
    if (header.p_type != PT_LOAD) continue;
    const uint64_t start = info->dlpi_addr + header.p_vaddr;
    bytes += pages.resident(start, start + header.p_memsz);
  }
  return 0;
}

bool is_program(const char *line) {
  const size_t size = std::strlen(line);
  for (const char *end : {".pte\n", ".tflite\n", ".onnx\n"})
    if (size > std::strlen(end) && std::strcmp(line + size - std::strlen(end), end) == 0) return true;
  return false;
}

// A number of /proc/self/status, which has kB; -1 where it has none of that name.
int64_t status(const char *name) {
  std::FILE *file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return -1;
  char line[256];
  long long kilobytes = -1;
  while (kilobytes < 0 && std::fgets(line, sizeof line, file))
    if (std::strncmp(line, name, std::strlen(name)) == 0) std::sscanf(line + std::strlen(name), ": %lld kB", &kilobytes);
  std::fclose(file);
  return kilobytes < 0 ? -1 : 1024 * kilobytes;
}

}  // namespace

int64_t resident_now() { return status("VmRSS"); }

int64_t peak_memory() {
  // Of this program alone: what getrusage gives counts the process that started it, before it did.
  if (const int64_t peak = status("VmHWM"); peak >= 0) return peak;
  rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{1024} * usage.ru_maxrss : 0;
}

std::optional<Resident> resident_memory() {
  const int64_t now = resident_now();
  const PageMap pages;
  std::FILE *maps = std::fopen("/proc/self/maps", "r");
  if (now < 0 || !pages.is_readable() || maps == nullptr) {
    if (maps != nullptr) std::fclose(maps);
    return std::nullopt;
  }
  std::pair<const PageMap &, int64_t> libraries(pages, 0);
  dl_iterate_phdr(add_library, &libraries);
  int64_t program = 0;
  char line[4096 + 256];
  while (std::fgets(line, sizeof line, maps)) {
    unsigned long long start = 0, end = 0;
    if (is_program(line) && std::sscanf(line, "%llx-%llx", &start, &end) == 2) program += pages.resident(start, end);
  }
  std::fclose(maps);
  return Resident{peak_memory(), libraries.second, program, now - libraries.second - program};
}

int64_t MemoryParts::beyond(const Session &session) const {
  const Memory held = session.memory();
  return count_.heap - static_cast<int64_t>(held.arena + held.state + held.scratch + held.runtime - held.shared);
}

void MemoryParts::opened(const Session &session) { opened_ = beyond(session); }

void MemoryParts::loaded(const Session &session) {
  packed_ = beyond(session) - opened_;
  heap_peak_load_ = count_.heap_peak;
  load_peak_ = count_.peak;
  after_load_ = parts(session, 0, 0);
  count_.start_peak();
}

void MemoryParts::begin_run(const Session &session) { before_run_ = beyond(session); }

void MemoryParts::end_run(const Session &session, int64_t inputs_outputs) {
  workspace_ += beyond(session) - before_run_;
  inputs_outputs_ = std::max(inputs_outputs_, inputs_outputs);
}

Json MemoryParts::parts(const Session &session, int64_t workspace, int64_t inputs_outputs) const {
  const Memory held = session.memory();
  return {{"weights", count_.maps.load()},
          {"delegate_packed_weights", packed_},
          {"delegate_workspace", workspace},
          {"planned_arena", held.arena},
          {"state", held.state},
          {"operator_scratch", held.scratch},
          {"inputs_outputs", inputs_outputs},
          {"runtime", opened_ + static_cast<int64_t>(held.runtime)}};
}

Json MemoryParts::json(const Session &session) const {
  Json after_runs = parts(session, workspace_, inputs_outputs_);
  const std::optional<Resident> resident = resident_memory();
  const int64_t libraries = resident ? resident->libraries : 0;
  // What a GPU's driver gave is not the heap's; it is there from the session's opening on.
  const int64_t shared = static_cast<int64_t>(session.memory().shared);
  const int64_t load_peak = load_peak_ + shared, run_peak = count_.peak + shared;
  Json found = {{"after_load", after_load_},
                {"after_runs", std::move(after_runs)},
                {"heap_peak_load", heap_peak_load_},
                {"heap_peak_run", count_.heap_peak.load()},
                {"libraries", nullptr},
                {"peak_load", libraries + load_peak},
                {"peak_run", libraries + run_peak},
                {"peak", libraries + std::max(load_peak, run_peak)},
                {"resident", nullptr}};
  if (resident) {
    found["libraries"] = resident->libraries;
    found["resident"] = {{"peak", resident->peak},
                         {"libraries", resident->libraries},
                         {"program", resident->program},
                         {"rest", resident->rest}};
  }
  return found;
}

}  // namespace edgekit
