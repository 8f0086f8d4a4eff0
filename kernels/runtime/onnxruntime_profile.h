// ONNX Runtime's profile of a session: it writes a file when it is told to end.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/trace_log.h"

namespace edgekit {

// A folder of its own, where profiles lie until they are read; removed with them.
class ProfileFolder {
 public:
  // Below TMPDIR, or /tmp. Throws Failure.
  ProfileFolder();
  ~ProfileFolder();
  ProfileFolder(const ProfileFolder &) = delete;
  ProfileFolder &operator=(const ProfileFolder &) = delete;

  // What files' names are to begin with.
  std::string prefix() const { return folder_ + "/profile"; }

 private:
  std::string folder_;
};

// Writes the events of a session's runs to those of the log at `places`, one for each run in their order; kNoPlace for
// one that failed. Throws Failure where the file has other runs.
constexpr size_t kNoPlace = static_cast<size_t>(-1);
void read_profile(const std::string &file, const std::vector<size_t> &places, TraceLog &log);

}  // namespace edgekit
