// The features of a text's tokens, by the program's method `explain`.
#pragma once

#include <memory>
#include <vector>

#include "edgekit/explain.h"
#include "edgekit/generate.h"

namespace edgekit {

class TextExplainer {
 public:
  // Of a bundle with these features; throws Failure where the program does not fit them. Loads nothing.
  TextExplainer(Session &session, const TextSettings &settings, const Features &features);

  // Loads the method and makes room for a context, or gives the room back.
  void use(bool on);
  bool is_used() const { return is_used_; }

  // The features of tokens that stand from `position` on, by their taps (count, layers, features + 1). Those of earlier
  // calls are kept as far as these go on with them.
  void run(const int64_t *tokens, float *taps, size_t count, int64_t position);
  void forget() { position_ = count_ = 0; }
  Explanation explanation() const;

 private:
  void check(size_t count) const;

  Session &session_;
  int64_t chunk_, context_, layers_, count_of_features_, shown_;
  bool is_used_ = false;
  // Of a chunk, for the program wants its outputs aligned.
  std::vector<int64_t> features_;
  std::vector<float> values_, unexplained_;
  // Of the tokens so far. Not filled: pages that no run writes are not taken.
  int64_t position_ = 0, count_ = 0;
  std::unique_ptr<int64_t[]> all_tokens_, all_features_;
  std::unique_ptr<float[]> all_values_, all_unexplained_;
};

}  // namespace edgekit
