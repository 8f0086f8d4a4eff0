// Uses the session and the tasks through their public headers: run_session CASE INPUTS OUTPUTS BUNDLE...
//
// INPUTS and OUTPUTS are files of tensors (tensors.h). Built with sanitizers, it ends with their report where memory is
// misused or left, or threads race.

#include <cstring>

#include "cases.h"

namespace {

constexpr struct {
  const char *name;
  void (*run)(Case &all);
} kCases[] = {{"threads", run_threads},     {"beside", run_beside},     {"turns", run_turns},   {"pool", run_pool},
              {"states", run_states},       {"text", run_text},         {"segment", run_segment},
              {"anomalies", run_anomalies}, {"refusals", run_refusals}, {"signatures", run_signatures}, {"memory", run_memory},
              {"litert", run_litert},       {"trace", run_trace},
              {"explain", run_explain},     {"features", run_features}};

}  // namespace

int main(int count, char **arguments) {
  if (count < 5) end("usage: run_session CASE INPUTS OUTPUTS BUNDLE...");
  Case all{{arguments + 4, arguments + count}, read_tensors(arguments[2]), std::ofstream(arguments[3], std::ios::binary)};
  for (const auto &known : kCases)
    if (std::strcmp(known.name, arguments[1]) == 0) return known.run(all), 0;
  end(std::string("there is no case ") + arguments[1]);
}
