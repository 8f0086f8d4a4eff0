// What a session refuses, and what it does without memory. After every failure a good run.

#include <cmath>
#include <cstring>
#include <limits>

#include "cases.h"

// Bundles: a good one, then what is no good bundle. The sentences; after each one, and from a session of its own where
// the failure was in opening, the answer to the input.
void run_refusals(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  const edgekit::MethodSpec &method = session->method(0);
  const size_t numbers = numbers_of(method.inputs[0]);
  std::vector<float> answer(numbers_of(method.outputs[0])), input(numbers);
  std::memcpy(input.data(), all.inputs[0].as(), 4 * numbers);
  const edgekit::Tensor good = tensor(method.inputs[0], input.data());
  const edgekit::Tensor output = tensor(method.outputs[0], answer.data());
  const auto refuse = [&](const char *name, const edgekit::Tensor *inputs, int count, const edgekit::Tensor *outputs,
                          int output_count) {
    all.give(refused(session->run(name, inputs, count, outputs, output_count), name).c_str());
    must(session->run(method.name, &good, 1, &output, 1), "run");
    all.give(answer);
  };
  refuse("backward", &good, 1, &output, 1);
  refuse(method.name, nullptr, 0, &output, 1);
  refuse(method.name, &good, 1, nullptr, 0);
  std::vector<int64_t> shape(method.inputs[0].shape, method.inputs[0].shape + good.rank);
  ++shape.back();
  edgekit::Tensor bad = good;
  bad.shape = shape.data();
  refuse(method.name, &bad, 1, &output, 1);
  bad = good;
  bad.rank = 1;
  refuse(method.name, &bad, 1, &output, 1);
  bad.rank = -1;
  refuse(method.name, &bad, 1, &output, 1);
  bad = good;
  bad.dtype = edgekit::DType::float64;
  refuse(method.name, &bad, 1, &output, 1);
  bad = good;
  bad.data = nullptr;
  refuse(method.name, &bad, 1, &output, 1);
  for (const float number : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> changed = input;
    changed.back() = number;
    bad = good;
    bad.data = changed.data();
    refuse(method.name, &bad, 1, &output, 1);
  }
  for (size_t index = 1; index < all.bundles.size(); ++index) {
    all.give(refused(edgekit::Session::open(all.bundles[index].c_str()) != nullptr, "open").c_str());
    must(run(*open(all.bundles[0]), all.inputs[0], answer), "run");
    all.give(answer);
  }
}

// An allocator that gives 0, 1, 2, ... pieces: sentences until there are enough, then the answer.
void run_memory(Case &all) {
  std::vector<float> answer;
  for (int pieces = 0;; ++pieces) {
    Limited limited{pieces};
    edgekit::Options options;
    options.allocator = {Limited::allocate, Limited::release, &limited};
    bool done = false;
    if (edgekit::SessionPointer session = edgekit::Session::open(all.bundles[0].c_str(), options)) {
      done = run(*session, all.inputs[0], answer);
      if (!done) {
        all.give(refused(false, "run").c_str());
        limited.left = std::numeric_limits<int>::max();
        must(run(*session, all.inputs[0], answer), "the run after one without memory");
      }
    } else {
      all.give(refused(false, "open").c_str());
    }
    if (limited.held != 0) end("the allocator did not get all back");
    if (!done) continue;
    all.give(answer);
    return;
  }
}

// A file of public keys, then bundles: of each "taken", or the sentence with which a session that asks for one of the keys
// refuses it.
void run_signatures(Case &all) {
  edgekit::Options options;
  options.public_key = all.bundles[0].c_str();
  options.check_files = false;
  for (size_t index = 1; index < all.bundles.size(); ++index) {
    const bool taken = edgekit::Session::open(all.bundles[index].c_str(), options) != nullptr;
    all.give(taken ? "taken" : edgekit::last_error());
  }
}
