// What a language model thinks of, and how to make it think more or less of it: the features of its bundle.
//
// Purpose. A bundle that was exported with a dictionary (`--set dictionary=`) taps some layers of its model. A feature is
// a direction among the neurons of one of these layers; a token has much of it or none. The program says which features a
// token has (TextGenerator::explain, generate.h), and takes an amount of each that is added to every token (steer).
//
// Example. A text that is nudged by 0.1 nats towards feature 12 of layer 4, and what each of its tokens was about:
//
//     edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
//     const edgekit::Features *features = generator->features();
//     if (!features) return fail("the bundle has no features");
//     std::vector<float> u(features->layer_count() * features->count());
//     if (!features->steer("4:12", 0.1, u.data())) return fail(edgekit::last_error());
//     if (!generator->steer(u.data()) || !generator->explain(true)) return fail(edgekit::last_error());
//     if (!generator->generate(prompt, size, sampling)) return fail(edgekit::last_error());
//     const edgekit::Explanation why = generator->explanation();
//
// Layers are numbered from 1, as in a model's description; `index` is a layer's place among those that are tapped.
// Features are numbered from 0. Both together are written "4:12", or "12" where one layer is tapped.
//
// Errors are as in session.h; any thread may ask.
#ifndef EDGEKIT_EXPLAIN_H
#define EDGEKIT_EXPLAIN_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "session.h"

namespace edgekit {

// An amount of a feature.
struct Amount {
  double kl;     // nats that it costs: KL(before || after) of the next token; with a minus sign for less of the feature
  double alpha;  // the same as what is added to every token: a coefficient, in units of activations
};

// One feature, and by how much a text is steered by it.
struct Steered {
  int index;  // of its layer
  int64_t feature;
  Amount amount;
  bool built_in = false;  // whether the program has it for good
};

// What a text's tokens were about. Pointers are valid until the next call that changes it.
struct Explanation {
  int64_t position;          // tokens before the first of these: 0 for a text
  int64_t count;             // tokens T that the program was given; the last one that it chose is none of them
  const int64_t *tokens;     // (T)
  const int64_t *features;   // (T, layers, shown): by falling value
  const float *values;       // (T, layers, shown): coefficients, 0 where a token has fewer features than are shown
  const float *unexplained;  // (T, layers): share of the activations' squares that these features leave, from 0 to 1
};

class Features;
struct FeaturesDeleter {
  EDGEKIT_RUNTIME_API void operator()(Features *features) const noexcept;
};
using FeaturesPointer = std::unique_ptr<Features, FeaturesDeleter>;

class EDGEKIT_RUNTIME_API Features {
 public:
  // Reads what the bundle knows of its features; keeps nothing of the session. Refuses a bundle without any.
  static FeaturesPointer open(const Session *session) noexcept;

  int layer_count() const noexcept;
  int64_t layer(int index) const noexcept;
  // Features of each layer.
  int64_t count() const noexcept;
  // Most features of a token and layer that an explanation has.
  int64_t shown() const noexcept;

  // A few words, UTF-8; "" where there are none, and of a feature that does not exist.
  const char *label(int index, int64_t feature) const noexcept;

  // Amounts that were calibrated, by rising KL; nullptr, and no error, where there are none.
  const Amount *calibrated(int index, int64_t feature, size_t *count) const noexcept;

  // What every text is steered by, as the bundle was exported (`--set steer=`); nullptr where that is nothing. steer() comes
  // on top of it.
  const Steered *built_in(size_t *count) const noexcept;

  // The feature of a name such as "4:12", with an amount of 0; fails where there is none.
  bool find(const char *name, Steered *found) const noexcept;

  // Adds to u (layers, count) what changes the next token by so many nats: between calibrated amounts, and between none
  // and the smallest, by the root of the KL, which alpha is nearly in proportion to. Fails, and leaves u, where there is no
  // such feature or the KL is beyond what was calibrated. `done` may be null.
  bool steer(const char *name, double kl, float *u, Steered *done = nullptr) const noexcept;

  Features(const Features &) = delete;
  Features &operator=(const Features &) = delete;

 private:
  friend struct FeaturesDeleter;
  struct Impl;
  explicit Features(std::unique_ptr<Impl> impl) noexcept;
  ~Features();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_EXPLAIN_H
