// A `.tflite` bundle whose first method takes rows and their position, and keeps a state.

#include <cstring>
#include <thread>

#include "cases.h"

namespace {

constexpr int kSessions = 3;

// One call; the rows lie `offset` bytes behind a multiple of 64. False where the session says no.
bool step(edgekit::Session &session, const Buffer &rows, int64_t at, size_t offset, std::vector<float> &answer) {
  const edgekit::MethodSpec &method = session.method(0);
  answer.assign(numbers_of(method.outputs[0]), 0);
  const Buffer room(rows.size() + offset + 16);
  std::memcpy(room.as<char>() + offset, rows.as(), rows.size());
  alignas(16) int64_t position = at;
  const edgekit::Tensor inputs[] = {tensor(method.inputs[0], room.as<char>() + offset),
                                    {&position, edgekit::DType::int64, 0, nullptr}};
  const edgekit::Tensor output = tensor(method.outputs[0], answer.data());
  return session.run(method.name, inputs, 2, &output, 1);
}

}  // namespace

// Inputs: rows. In several sessions at once each at the position of its number, with one thread more each time; then a
// position that there is no room for, a number that does not fit, and sessions that run out of memory.
void run_litert(Case &all) {
  std::vector<std::vector<float>> answers(kSessions * all.inputs.size());
  std::vector<std::thread> threads;
  for (size_t session = 0; session < kSessions; ++session)
    threads.emplace_back([&, session] {
      const edgekit::SessionPointer own = open(all.bundles[0]);
      for (size_t call = 0; call < all.inputs.size(); ++call)
        must(step(*own, all.inputs[call], static_cast<int64_t>(call), 16 * session,
                  answers[session * all.inputs.size() + call]),
             "run");
    });
  for (std::thread &thread : threads) thread.join();
  const edgekit::SessionPointer session = open(all.bundles[0]);
  std::vector<float> answer;
  for (size_t call = 0; call < all.inputs.size(); ++call) {
    must(edgekit::set_threads(static_cast<int>(call) + 1), "set_threads");
    must(step(*session, all.inputs[call], static_cast<int64_t>(call), 0, answer), "run");
    answers.push_back(answer);
  }
  for (const std::vector<float> &numbers : answers) all.give(numbers);
  for (const int64_t position : {int64_t{1} << 20, int64_t{1} << 40})
    all.give(refused(step(*session, all.inputs[0], position, 0, answer), "a position").c_str());
  for (int pieces = 0;; ++pieces) {
    Limited limited{pieces};
    edgekit::Options options;
    options.allocator = {Limited::allocate, Limited::release, &limited};
    {
      const edgekit::SessionPointer small = edgekit::Session::open(all.bundles[0].c_str(), options);
      if (small && step(*small, all.inputs[0], 0, 16, answer)) break;
    }
    if (limited.held != 0) end("memory was not given back");
    if (pieces > 100) end("no memory is enough");
  }
}
