// How the binding fails inside: an exception with one sentence, which never leaves the library.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>

namespace edgekit::litert_binding {

// What is wrong, where, what to do.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

__attribute__((format(printf, 1, 2))) inline Failure failure(const char *pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return Failure(text);
}

// Runs the body; where it throws, `report` gets the sentence, and the answer is false.
template <typename Body, typename Report>
bool guarded(const Body &body, const Report &report) noexcept {
  try {
    body();
    return true;
  } catch (const std::bad_alloc &) {
    report("edgekit: there is not enough memory: close something, or export the model smaller.");
  } catch (const std::exception &error) {
    report(error.what());
  }
  return false;
}

}  // namespace edgekit::litert_binding
