#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace {
thread_local char message[256] = "";
}

namespace edgekit {

void set_error(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
}

}  // namespace edgekit

const char *edgekit_last_error(void) { return message; }
