// Several threads: sessions beside each other, one session from two threads, the pool's threads, the log.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "cases.h"

namespace {

constexpr int kThreads = 4;

void count_line(void *user, edgekit::LogLevel, const char *) { ++*static_cast<std::atomic<int> *>(user); }

// Calls a function from within the session's next allocation, while its call is going on.
struct Interruption {
  std::function<void()> call;

  static void *allocate(void *user, size_t size, size_t alignment) {
    auto &self = *static_cast<Interruption *>(user);
    if (self.call) {
      const auto call = std::move(self.call);
      self.call = nullptr;
      std::thread(call).join();
    }
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  static void release(void *, void *memory, size_t) { std::free(memory); }
};

// A failure that is logged: there is memory for the session, and none for its method.
void without_memory(Case &all) {
  for (int pieces = 1;; ++pieces) {
    Limited limited{pieces};
    edgekit::Options options;
    options.allocator = {Limited::allocate, Limited::release, &limited};
    const edgekit::SessionPointer session = edgekit::Session::open(all.bundles[0].c_str(), options);
    if (!session) continue;
    refused(session->load(session->method(0).name), "a method without memory");
    return;
  }
}

}  // namespace

// Every thread's answers to every input, in order.
void run_threads(Case &all) {
  std::vector<std::vector<std::vector<float>>> answers(kThreads);
  std::atomic<int> lines{0}, working{kThreads};
  std::vector<std::thread> threads;
  for (int index = 0; index < kThreads; ++index)
    threads.emplace_back([&, index] {
      for (int round = 0; round < 3; ++round) {  // opening and closing beside each other too
        const edgekit::SessionPointer session = open(all.bundles[0]);
        answers[index].resize(all.inputs.size());
        for (size_t input = 0; input < all.inputs.size(); ++input)
          must(run(*session, all.inputs[input], answers[index][input]), "run");
        without_memory(all);
      }
      --working;
    });
  // What may be called at any time.
  while (working > 0) {
    edgekit::set_log(count_line, &lines, edgekit::LogLevel::debug);
    if (edgekit::threads() < 1) end("there are no threads");
    edgekit::set_log(nullptr, nullptr);
    std::this_thread::yield();
  }
  for (std::thread &thread : threads) thread.join();
  for (const auto &answer : answers)
    for (const auto &numbers : answer) all.give(numbers);
}

// Sessions beside each other, with whatever state their bundle has: every thread's answers to every input, in order, and
// once more from the state that was saved before.
void run_beside(Case &all) {
  std::vector<std::vector<std::vector<float>>> answers(kThreads);
  std::vector<std::thread> threads;
  for (std::vector<std::vector<float>> &mine : answers)
    threads.emplace_back([&] {
      const edgekit::SessionPointer session = open(all.bundles[0]);
      std::vector<char> state(session->state_size());
      must(session->save_state(state.data(), state.size()), "save_state");
      for (int round = 0; round < 2; ++round) {
        for (const Buffer &input : all.inputs) must(run(*session, input, mine.emplace_back()), "run");
        must(session->restore_state(state.data(), state.size()), "restore_state");
      }
    });
  for (std::thread &thread : threads) thread.join();
  for (const auto &mine : answers)
    for (const auto &numbers : mine) all.give(numbers);
}

// While a thread's call goes on, another's is refused, and so is a change of the pool; then the first one's answer. Once
// in a run, once in loading a method.
void run_turns(Case &all) {
  for (const bool loads : {false, true}) {
    Interruption interruption;
    edgekit::Options options;
    options.allocator = {Interruption::allocate, Interruption::release, &interruption};
    const edgekit::SessionPointer session = open(all.bundles[0], options);
    std::vector<float> first, second;
    std::vector<std::string> sentences;
    interruption.call = [&] {
      sentences.push_back(refused(run(*session, all.inputs[0], second), "a second call"));
      sentences.push_back(refused(session->reset_state(), "a change of the state"));
      sentences.push_back(refused(edgekit::set_threads(1), "a change of the pool"));
      if (session->method_count() < 1) end("there are no methods");
    };
    if (loads) must(session->load(session->method(0).name), "load");
    must(run(*session, all.inputs[0], first), "run");
    for (const std::string &sentence : sentences) all.give(sentence.c_str());
    all.give(first);
    must(run(*session, all.inputs[0], second), "run");
    all.give(second);
  }
}

// The last method, with other numbers of threads from run to run.
void run_pool(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  std::vector<float> answer;
  for (const int count : {1, 3, 1, 2}) {
    must(edgekit::set_threads(count), "set_threads");
    if (edgekit::threads() != count) end("the pool has other threads than were asked for");
    must(run(*session, all.inputs[0], answer, session->method_count() - 1), "run");
    all.give(answer);
  }
  all.give(refused(edgekit::set_threads(-1), "-1 threads").c_str());
}
