// How the library fails inside: an exception with one sentence, which never leaves it.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace edgekit {

// What is wrong, where, what to do; ends with a full stop.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A request that makes no sense, where Failure is something that went wrong.
class UsageFailure : public Failure {
 public:
  using Failure::Failure;
};

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
inline std::string format(const char *pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), '\0');
  va_end(arguments);
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

// Keeps the sentence for last_error(); `usage` for was_usage_error().
void set_last_error(const char *sentence, bool usage) noexcept;

// What the body gives; where it throws, a value of the same type made of nothing (false, nullptr), and last_error() is
// set.
template <typename Body>
auto guarded(const Body &body) noexcept -> decltype(body()) {
  using Value = decltype(body());
  try {
    if constexpr (std::is_void_v<Value>) {
      return body();
    } else {
      return body();
    }
  } catch (const UsageFailure &failure) {
    set_last_error(failure.what(), true);
  } catch (const Failure &failure) {
    set_last_error(failure.what(), false);
  } catch (const std::bad_alloc &) {
    set_last_error("there is not enough memory: close something, or export the bundle smaller.", false);
  } catch (const std::exception &error) {
    set_last_error(error.what(), false);
  }
  return Value();
}

}  // namespace edgekit
