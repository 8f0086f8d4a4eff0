// Text generation: a prompt in, the text that follows out, token by token.
//
// Purpose. A TextGenerator goes on with texts, one at a time, on a session whose bundle has the task "generate_text".
//
// Example. At most 50 tokens, printed as they come:
//
//     bool print(void *, int64_t, const char *text, size_t size) { return std::fwrite(text, 1, size, stdout) == size; }
//
//     edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
//     if (!generator) return fail(edgekit::last_error());
//     edgekit::Sampling sampling;
//     sampling.max_tokens = 50;
//     if (!generator->generate(prompt, std::strlen(prompt), sampling, print)) return fail(edgekit::last_error());
//
// generate() comes back when the text is at its end; start() at once, with a thread of its own going on; begin() and
// step() let the caller's own loop do it. All three give the same text.
//
// Errors are as in session.h. After a cancelled or a failed text, the generator and its session stay usable.
//
// Threads. cancel() and is_running() may be called from any thread at any time, cancel() from a signal handler too;
// encode() and what describes from any thread. All else takes one call at a time, and none while a started text is
// not at its end: a second one fails at once and says so. The session is the generator's while a text goes on.
#ifndef EDGEKIT_GENERATE_H
#define EDGEKIT_GENERATE_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "explain.h"
#include "session.h"
#include "tokenizer.h"

namespace edgekit {

// What the manifest says of the pipeline.
struct TextSettings {
  int64_t context;     // tokens that there is room for, prompt and answer together
  int64_t chunk;       // most tokens that the program takes at once
  int64_t vocabulary;  // logits per token; the tokenizer may have fewer tokens
  int64_t end;         // the token that ends a text, -1 where there is none
  int64_t k_budget;    // tokens that a head and row attends to, 0 for dense attention
  int64_t begin;       // the token in front of every text, -1 where there is none
  int64_t longest;     // tokens that the model was trained for, 0 where that is not known
};

// How tokens are chosen. The draws of a seed are the same on every machine.
struct Sampling {
  int64_t max_tokens = 100;
  double temperature = 0;  // 0 takes the likeliest token; otherwise tokens are drawn, the flatter the higher
  uint64_t seed = 0;
};

// Whether they make sense; every function that takes them asks too.
EDGEKIT_RUNTIME_API bool check(const Sampling &sampling) noexcept;

// Why a text ended: by itself, with the tokens that were asked for, for want of room, or because somebody said so.
enum class Reason : uint8_t { none, end, length, context, cancelled };

// Such as "length"; "" for none.
EDGEKIT_RUNTIME_API const char *name_of(Reason reason) noexcept;

// How a text went so far. Pointers are valid until the next call that changes it.
struct Generation {
  int64_t prompt_tokens;
  int64_t generated_tokens;
  double prompt_seconds;     // in the program, for the prompt
  double generated_seconds;  // in the program, from then on
  const int64_t *tokens;     // those that were generated
  const char *text;          // the same as text, UTF-8; a character is given when it is whole
  size_t text_size;
  Reason reason;     // none while it goes on, and after a failure
  int64_t position;  // tokens that the session's state has: begin() may go on behind them
};

// Takes a token and what it adds to the text, which may be nothing; valid during the call. False cancels.
using TakeText = bool (*)(void *user, int64_t token, const char *text, size_t size);

// What one step gave.
struct TextStep {
  bool more;         // whether the text goes on
  int64_t token;     // -1 where none was chosen: within a prompt, at an end
  const char *text;  // valid until the next call
  size_t size;
};

class TextGenerator;
struct TextGeneratorDeleter {
  EDGEKIT_RUNTIME_API void operator()(TextGenerator *generator) const noexcept;
};
using TextGeneratorPointer = std::unique_ptr<TextGenerator, TextGeneratorDeleter>;

class EDGEKIT_RUNTIME_API TextGenerator {
 public:
  // The session must outlive it.
  static TextGeneratorPointer open(Session *session) noexcept;

  const TextSettings &settings() const noexcept;
  const Tokenizer &tokenizer() const noexcept;

  // The tokens of a prompt, as Tokenizer::encode gives them, behind the one that begins every text where there is one;
  // fails where there are none, or more than there is room for.
  bool encode(const char *prompt, size_t size, int64_t *tokens, size_t room, size_t *count) const noexcept;

  // What the program gives for tokens that stand from `position` on: logits (vocabulary) after the last one, or with
  // `every` (count, vocabulary) after each. Position 0 begins a new text; one that was going on is dropped.
  bool logits(const int64_t *tokens, size_t count, int64_t position, bool every, float *to) noexcept;

  bool generate(const char *prompt, size_t size, const Sampling &sampling, TakeText take = nullptr,
                void *user = nullptr) noexcept;

  // The same on a thread of its own, which calls `take`. What is wrong with the request fails here, the rest in wait().
  bool start(const char *prompt, size_t size, const Sampling &sampling, TakeText take = nullptr,
             void *user = nullptr) noexcept;
  bool is_running() const noexcept;
  // Until the started text is at its end; gives what generate() would have.
  bool wait() noexcept;

  // The same step by step: each runs the program once, on a part of the prompt or on the last token. With a `position`
  // the tokens stand behind that many, which the session's state has: from the text before, whose last token it does not
  // have yet (generation().position), or from a state that was restored.
  bool begin(const int64_t *prompt, size_t count, const Sampling &sampling, int64_t position = 0) noexcept;
  bool step(TextStep *step) noexcept;

  // What the model thinks of (explain.h); nullptr, and no error, where the bundle has no features.
  const Features *features() const noexcept;
  // Adds so much of each feature, u (layers, features), to every token of the texts to come, and of what logits() is
  // given; nullptr for no more. Features::steer() fills u. A text that was going on step by step is dropped.
  bool steer(const float *u) noexcept;
  // Whether the features of every token are found, in generate() and the others and in logits(). The program's method for
  // that is loaded when it is first wanted. A text that was going on step by step is dropped.
  bool explain(bool on) noexcept;
  // Of the last text, as far as it went; of no tokens where it was not explained. Not while a started text goes on.
  Explanation explanation() const noexcept;

  // Ends the text that goes on before its next step; none that is begun later.
  void cancel() noexcept;

  // Not while a started text goes on.
  Generation generation() const noexcept;

  TextGenerator(const TextGenerator &) = delete;
  TextGenerator &operator=(const TextGenerator &) = delete;

 private:
  friend struct TextGeneratorDeleter;
  struct Impl;
  explicit TextGenerator(std::unique_ptr<Impl> impl) noexcept;
  // Cancels a started text and waits for its thread.
  ~TextGenerator();
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgekit

#endif  // EDGEKIT_GENERATE_H
