#include "failure.h"

#include "edgekit/session.h"

namespace edgekit {
namespace {

// A std::string, so that a sentence may be long; when even that has no memory, the sentence is cut.
thread_local std::string last;
thread_local bool last_was_usage = false;

}  // namespace

void set_last_error(const char *sentence, bool usage) noexcept {
  last_was_usage = usage;
  try {
    last = sentence;
  } catch (...) {
    last.assign(sentence, std::min(last.capacity(), std::char_traits<char>::length(sentence)));
  }
}

const char *last_error() noexcept { return last.c_str(); }

bool last_error_is_usage() noexcept { return last_was_usage; }

}  // namespace edgekit
