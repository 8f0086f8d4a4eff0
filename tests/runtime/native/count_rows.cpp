// What a stream of sensor rows allocates once its methods are loaded: count_rows BUNDLE TOGETHER
//
// Prints, as JSON, how often each library asked for memory while many rows came, TOGETHER at a time, by push_rows(), and
// by push() where that is 1.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "allocations.h"
#include "edgekit/detect_anomalies.h"

int main(int count, char **arguments) {
  const auto fail = [](const char *sentence) { return std::fprintf(stderr, "%s\n", sentence), 1; };
  if (count != 3) return fail("usage: count_rows BUNDLE TOGETHER");
  const edgekit::SessionPointer session = edgekit::Session::open(arguments[1]);
  if (!session) return fail(edgekit::last_error());
  const edgekit::AnomalyPipelinePointer pipeline = edgekit::AnomalyPipeline::make(session.get());
  const edgekit::AnomalyStreamPointer stream = pipeline ? pipeline->stream() : nullptr;
  if (!stream) return fail(edgekit::last_error());
  const int channels = pipeline->detector().channels(), together = std::atoi(arguments[2]);
  const auto numbers = static_cast<size_t>(together) * static_cast<size_t>(channels);
  std::vector<float> rows(numbers, 0.5f), errors(numbers), scores(static_cast<size_t>(together));
  const auto alarms = std::make_unique<bool[]>(static_cast<size_t>(together));
  bool done = true;
  const auto push = [&] {
    for (int taken = 0; done && taken < 4 * pipeline->detector().window() + 100; taken += together) {
      edgekit::RowResult result;
      done = together == 1 ? stream->push(rows.data(), channels, &result) != edgekit::Push::failed
                           : stream->push_rows(rows.data(), together, channels, errors.data(), scores.data(), alarms.get());
    }
  };
  push();
  if (!done) return fail(edgekit::last_error());
  const std::map<std::string, long> allocated = allocations::counted(push);
  if (!done) return fail(edgekit::last_error());
  const char *between = "{";
  for (const auto &[library, times] : allocated) {
    std::printf("%s\"%s\": %ld", between, library.c_str(), times);
    between = ", ";
  }
  std::printf("%s}\n", allocated.empty() ? "{" : "");
  return 0;
}
