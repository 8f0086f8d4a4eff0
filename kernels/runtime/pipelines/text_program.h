// A language model's program, as its bundle describes it: tokens in, logits out.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "edgekit/explain.h"
#include "edgekit/generate.h"
#include "text_explainer.h"

namespace edgekit {

// A function of the public headers failed: its sentence goes on.
[[noreturn]] void pass_on();

// Whether a tensor is what it should be; `dynamic` in its first dimension.
bool is(const TensorSpec &spec, DType dtype, std::initializer_list<int64_t> shape, bool dynamic);

class TextProgram {
 public:
  // Throws Failure where the program does not fit the manifest.
  explicit TextProgram(Session &session);

  const TextSettings &settings() const { return settings_; }
  const Features *features() const { return features_.get(); }

  // Runs on at most a chunk; gives logits of the last token, or of every one.
  const float *run(const int64_t *given, size_t count, int64_t position, bool every);

  // From the next run on; nullptr for no more.
  void steer(const float *u);
  void explain(bool on);
  void forget_explanation();
  Explanation explanation() const;

 private:
  void check_method() const;
  const Features &needed_features() const;

  Session &session_;
  TextSettings settings_;
  FeaturesPointer features_;
  std::optional<TextExplainer> explainer_;
  std::vector<int64_t> part_, rows_;
  std::vector<float> steering_;
  // Not filled: pages that no run writes are not taken.
  std::unique_ptr<float[]> logits_, taps_;
};

}  // namespace edgekit
