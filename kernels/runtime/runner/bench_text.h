// A benchmark's findings, for people.
#pragma once

#include "core/json.h"

namespace edgekit {

// Of what run_bench() finds: cases, memory, temperature, and the dearest operators.
void print_bench(const Json &found);

}  // namespace edgekit
