// What a text's steps allocate once a text was generated: count_steps BUNDLE PROMPT TOKENS [FEATURE]
//
// Prints, as JSON, how often each library asked for memory in the steps of the second text; with a FEATURE it is steered
// by that one, and explained.

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "allocations.h"
#include "edgekit/generate.h"

namespace {

int fail(const std::string &sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return 1;
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 4) return fail("usage: count_steps BUNDLE PROMPT TOKENS [FEATURE]");
  const edgekit::SessionPointer session = edgekit::Session::open(arguments[1]);
  if (!session) return fail(edgekit::last_error());
  const edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
  if (!generator) return fail(edgekit::last_error());
  edgekit::Sampling sampling;
  sampling.max_tokens = std::atoi(arguments[3]);
  if (count > 4) {
    const edgekit::Features &features = *generator->features();
    std::vector<float> u(static_cast<size_t>(features.layer_count() * features.count()));
    if (!features.steer(arguments[4], 0.1, u.data()) || !generator->steer(u.data()) || !generator->explain(true))
      return fail(edgekit::last_error());
  }
  std::vector<int64_t> prompt(2 * std::strlen(arguments[2]) + 1);
  size_t tokens = 0;
  if (!generator->encode(arguments[2], std::strlen(arguments[2]), prompt.data(), prompt.size(), &tokens))
    return fail(edgekit::last_error());
  std::map<std::string, long> allocated;
  for (int text = 0; text < 2; ++text) {
    if (!generator->begin(prompt.data(), tokens, sampling)) return fail(edgekit::last_error());
    edgekit::TextStep step = {true, -1, "", 0};
    bool done = true;
    allocated = allocations::counted([&] {
      while (done && step.more) done = generator->step(&step);
    });
    if (!done) return fail(edgekit::last_error());
  }
  const char *between = "{";
  for (const auto &[library, times] : allocated) {
    std::printf("%s\"%s\": %ld", between, library.c_str(), times);
    between = ", ";
  }
  std::printf("%s}\n", allocated.empty() ? "{" : "");
  return 0;
}
