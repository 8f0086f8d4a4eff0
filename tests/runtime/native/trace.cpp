// Traced runs between others, with the threads changed meanwhile.

#include <cstring>

#include "cases.h"
#include "edgekit/trace.h"

namespace {

// The first method on an input, and zeros for what else it takes.
std::vector<float> run_first(edgekit::Session &session, const Buffer &input) {
  const edgekit::MethodSpec &method = session.method(0);
  std::vector<Buffer> zeros;
  std::vector<edgekit::Tensor> inputs{tensor(method.inputs[0], input.as())};
  for (int other = 1; other < method.input_count; ++other) {
    zeros.emplace_back(numbers_of(method.inputs[other]) * edgekit::size_of(method.inputs[other].dtype));
    std::memset(zeros.back().as(), 0, zeros.back().size());
    inputs.push_back(tensor(method.inputs[other], zeros.back().as()));
  }
  std::vector<float> answer(numbers_of(method.outputs[0]));
  const edgekit::Tensor output = tensor(method.outputs[0], answer.data());
  must(session.run(method.name, inputs.data(), method.input_count, &output, 1), "run");
  return answer;
}

std::string names_of(const edgekit::TracedRun &run) {
  std::string names;
  for (int event = 0; event < run.event_count; ++event)
    if (run.events[event].parent < 0) names += (names.empty() ? "" : "\n") + std::string(run.events[event].name);
  return names;
}

}  // namespace

// Answers of six runs on the input, every second traced, and the operators of each traced one.
void run_trace(Case &all) {
  edgekit::TracePointer trace;
  {
    const edgekit::SessionPointer session = open(all.bundles[0]);
    for (int round = 0; round < 3; ++round) {
      must(edgekit::set_threads(round + 1), "set_threads");
      for (const bool tracing : {false, true}) {
        must(session->trace(tracing), "trace");
        all.give(run_first(*session, all.inputs[0]));
      }
    }
    trace = session->take_trace();
    must(trace != nullptr, "take_trace");
    const edgekit::TracePointer none = session->take_trace();
    if (none->run_count() != 0) end("runs were traced twice");
    must(session->trace(true), "trace");
    run_first(*session, all.inputs[0]);  // never taken
  }
  // It outlives its session.
  if (trace->run_count() != 3) end("three runs were traced, " + std::to_string(trace->run_count()) + " were seen");
  for (int run = 0; run < 3; ++run) all.give(names_of(trace->run(run)).c_str());
}
