// What an engine has seen of traced runs.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/trace.h"

namespace edgekit {

// Text that stays where it is, each once.
class Names {
 public:
  const char *keep(std::string_view text) {
    const auto found = texts_.find(text);
    return (found != texts_.end() ? found : texts_.emplace(text).first)->c_str();
  }

 private:
  std::set<std::string, std::less<>> texts_;
};

struct TraceLog {
  struct Run {
    size_t method;
    double us;
    std::vector<TraceEvent> events;
  };

  Names names;  // of the events
  std::vector<Run> runs;
};

}  // namespace edgekit
