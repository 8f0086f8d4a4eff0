// What the user asked for on the command line.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edgekit/gpu.h"

namespace edgekit {

// The user stopped it; what was made so far is printed.
struct Interrupted {};

struct Request {
  std::string bundle;
  std::vector<std::string> inputs;
  std::optional<std::string> output, picture, prompt, threshold, method, size, fit, public_key;
  std::optional<int64_t> max_tokens, seed, bench, warmup, threads;
  std::optional<edgekit_gpu_use> gpu;
  std::vector<int> cores;  // of --cpu-mask; none where it was not given
  std::optional<double> temperature;
  std::vector<std::pair<std::string, double>> steer;  // features and how far
  bool explain = false, force = false, json = false, operators = false, peaks = false, quiet = false, verbose = false;
};

// Reads the arguments; throws UsageFailure. Help and version are printed, and end the process.
Request read_request(int count, char **arguments);

// For a task that takes no more than these options: throws UsageFailure when another one was given.
void take_only(const Request &request, std::initializer_list<const char *> options);

// Throws UsageFailure where a file that is to be written exists and must not be replaced.
void check_free(const Request &request, const std::string &path);

}  // namespace edgekit
