// What run_session's cases share. A case that finds something wrong ends the program with a sentence; answers go to the
// file of outputs, for the test to compare.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "edgekit/session.h"
#include "tensors.h"

struct Case {
  std::vector<std::string> bundles;
  std::vector<Buffer> inputs;
  std::ofstream outputs;

  void give(const void *data, size_t size) { write_tensor(outputs, data, static_cast<int64_t>(size)); }
  void give(const char *sentence) { give(sentence, std::char_traits<char>::length(sentence)); }
  void give(const std::vector<float> &numbers) { give(numbers.data(), numbers.size() * sizeof(float)); }
};

[[noreturn]] inline void end(const std::string &sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(1);
}

// The call must succeed.
inline void must(bool done, const char *what) {
  if (!done) end(std::string(what) + ": " + edgekit::last_error());
}

// The call must fail, and say why: its sentence.
inline std::string refused(bool done, const char *what) {
  if (done) end(std::string(what) + " was not refused");
  const std::string sentence = edgekit::last_error();
  if (sentence.empty()) end(std::string(what) + " was refused without a sentence");
  return sentence;
}

inline edgekit::SessionPointer open(const std::string &bundle, const edgekit::Options &options = {}) {
  edgekit::SessionPointer session = edgekit::Session::open(bundle.c_str(), options);
  must(session != nullptr, "open");
  return session;
}

// A float32 tensor of a spec's largest shape.
inline edgekit::Tensor tensor(const edgekit::TensorSpec &spec, void *data) {
  return {data, spec.dtype, spec.rank, spec.shape};
}

inline size_t numbers_of(const edgekit::TensorSpec &spec) {
  size_t count = 1;
  for (int dimension = 0; dimension < spec.rank; ++dimension) count *= static_cast<size_t>(spec.shape[dimension]);
  return count;
}

// A method with one input and one output on one of the inputs; false where the session says no.
inline bool run(edgekit::Session &session, const Buffer &input, std::vector<float> &answer, int index = 0) {
  const edgekit::MethodSpec &method = session.method(index);
  answer.assign(numbers_of(method.outputs[0]), 0);
  const edgekit::Tensor given = tensor(method.inputs[0], input.as()), wanted = tensor(method.outputs[0], answer.data());
  return session.run(method.name, &given, 1, &wanted, 1);
}

// An allocator that gives so many pieces, and counts the bytes that are out.
struct Limited {
  int left;
  size_t held = 0;

  static void *allocate(void *user, size_t size, size_t alignment) {
    auto &self = *static_cast<Limited *>(user);
    if (self.left-- <= 0) return nullptr;
    self.held += size;
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  static void release(void *user, void *memory, size_t size) {
    static_cast<Limited *>(user)->held -= size;
    std::free(memory);
  }
};

void run_threads(Case &all);
void run_beside(Case &all);
void run_turns(Case &all);
void run_pool(Case &all);
void run_states(Case &all);
void run_text(Case &all);
void run_explain(Case &all);
void run_features(Case &all);
void run_segment(Case &all);
void run_anomalies(Case &all);
void run_refusals(Case &all);
void run_signatures(Case &all);
void run_memory(Case &all);
void run_litert(Case &all);
void run_trace(Case &all);
