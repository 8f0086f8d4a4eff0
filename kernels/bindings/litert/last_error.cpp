#include "last_error.h"

#include <cstdio>

#include "edgekit/litert.h"

namespace {

thread_local char sentence_of_thread[512];

}  // namespace

void edgekit::litert_binding::set_last_error(const char *sentence) noexcept {
  std::snprintf(sentence_of_thread, sizeof sentence_of_thread, "%s", sentence);
}

extern "C" const char *edgekit_litert_last_error(void) { return sentence_of_thread; }
