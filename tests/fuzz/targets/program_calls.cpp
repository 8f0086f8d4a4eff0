// Our own reader of an ExecuTorch program's instructions, without the verification that comes before it in a session.

#include "program_calls.h"

#include "core/failure.h"
#include "file.h"

using namespace edgekit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (const char *method : {"forward_b1", "forward"})
    if (!guarded([&] { return program_calls(data, size, method, "program.pte"), true; })) fuzz::expect_sentence();
  return 0;
}
