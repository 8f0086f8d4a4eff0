// The last error of each thread: one sentence, kept in a buffer of fixed size.
#pragma once

#include "edgekit/ops.h"

namespace edgekit {

// printf's format; longer sentences are cut.
void set_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace edgekit

// Leaves an operator with EDGEKIT_INVALID_ARGUMENT and a sentence, unless `condition` holds.
#define EDGEKIT_REQUIRE(condition, ...) \
  do {                                  \
    if (!(condition)) {                 \
      ::edgekit::set_error(__VA_ARGS__); \
      return EDGEKIT_INVALID_ARGUMENT;  \
    }                                   \
  } while (false)
