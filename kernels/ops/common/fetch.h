// Asking memory for what will be read soon.
#pragma once

#include <cstdint>

namespace edgekit {

// Asks for `bytes` from `start` on all at once, and does not wait for them.
inline void fetch(const void *start, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(static_cast<const char *>(start) + at);
}

}  // namespace edgekit
