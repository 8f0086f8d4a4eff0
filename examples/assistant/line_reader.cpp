#include "line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

Input LineReader::next(std::string *line) {
  for (;;) {
    const size_t end = rest_.find('\n');
    if (end != std::string::npos || (is_over_ && !rest_.empty())) {
      const bool was_too_long = is_too_long_;
      *line = rest_.substr(0, end);
      rest_.erase(0, end == std::string::npos ? end : end + 1);
      is_too_long_ = false;
      if (!line->empty() && line->back() == '\r') line->pop_back();
      return was_too_long ? Input::too_long : Input::line;
    }
    if (is_over_) return Input::end;
    if (rest_.size() > kLongest) {
      rest_.clear();
      is_too_long_ = true;
    }
    pollfd waiting[] = {{lines_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return Input::end;
    if ((waiting[1].revents & POLLIN) != 0) {
      forget_interrupts();
      return Input::interrupt;
    }
    if (waiting[0].revents == 0) continue;
    char part[4096];
    const ssize_t got = read(lines_, part, sizeof part);
    if (got > 0) rest_.append(part, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) is_over_ = true;
  }
}

void LineReader::forget_interrupts() {
  pollfd waiting{wake_, POLLIN, 0};
  char bytes[64];
  while (poll(&waiting, 1, 0) > 0 && read(wake_, bytes, sizeof bytes) > 0) {
  }
}
