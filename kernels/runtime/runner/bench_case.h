// What a benchmark times.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edgekit/session.h"

namespace edgekit {

struct CaseText {
  std::string name;
  const MethodSpec *method;
  std::optional<int64_t> rows;  // of inputs whose first dimension may change
  int64_t items;                // that a run answers for
  const char *unit;             // "frame", "window", "token" or "call"
  bool is_largest;              // whether it is a LargestCase
};

// A case with its tensors.
class BenchCase {
 public:
  virtual ~BenchCase() = default;

  // Milliseconds of a run. Throws Failure.
  virtual double run(Session &session) = 0;
  // Runs of the session so far, the last timed one among them: a token needs a prompt before it.
  int session_runs() const { return session_runs_; }

 protected:
  double time(Session &session, const MethodSpec &method, const std::vector<Tensor> &inputs,
              const std::vector<Tensor> &outputs);

 private:
  int session_runs_ = 0;
};

// A method on zeros of its largest shapes.
class LargestCase final : public BenchCase {
 public:
  explicit LargestCase(const MethodSpec &method);

  double run(Session &session) override { return time(session, method_, inputs_, outputs_); }
  // Of the tensors.
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<Tensor> zeros(const TensorSpec *specs, int count);

  const MethodSpec &method_;
  // Numbers of 8 bytes, so that every type is aligned.
  std::vector<std::vector<double>> memory_;
  int64_t bytes_ = 0;
  std::vector<Tensor> inputs_, outputs_;
};

// The cases of a session's methods: a text's "prompt" and "token" as its pipeline asks for them, and "explain", what a
// token takes longer that is explained; else one for each method under its name; of `method` alone, where it is given.
// Throws UsageFailure where there is no such method.
std::vector<CaseText> cases_of(const Session &session, const std::optional<std::string> &method);

std::unique_ptr<BenchCase> make_case(const Session &session, const CaseText &text);

}  // namespace edgekit
