// What the library and the runtime below it have to say.
#pragma once

#include <string>

#include "edgekit/session.h"

namespace edgekit {

void log(LogLevel level, const char *message) noexcept;

// The calling thread's errors while it lives, one after the other; they are reasons for a sentence.
class ErrorLog {
 public:
  ErrorLog();
  ~ErrorLog();
  ErrorLog(const ErrorLog &) = delete;
  ErrorLog &operator=(const ErrorLog &) = delete;
  // The first one, without a full stop; "no reason given" if there is none.
  std::string reason() const;
  void add(const char *message) noexcept;

 private:
  ErrorLog *outer_;
  std::string first_;
};

}  // namespace edgekit
