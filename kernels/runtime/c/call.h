// What every function of session_c.h does around its one call.
#pragma once

#include "core/failure.h"
#include "edgekit/session.h"
#include "edgekit/session_c.h"

namespace edgekit {

// What a call that came to this gave.
inline edgekit_session_status status_of(bool done) noexcept {
  if (done) return EDGEKIT_SESSION_OK;
  return last_error_is_usage() ? EDGEKIT_SESSION_USAGE : EDGEKIT_SESSION_FAILED;
}

// Refuses a call whose arguments should all have been given.
inline edgekit_session_status refuse_null(const char *function) noexcept {
  return status_of(guarded([&]() -> bool { throw UsageFailure(format("%s: an argument is NULL: give it.", function)); }));
}

}  // namespace edgekit

struct edgekit_session {
  edgekit::SessionPointer session;
};
