// A text that goes on from prompt to prompt, as long as the context has room, and that can be kept in a file.
#pragma once

#include <edgekit/generate.h>
#include <edgekit/session.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// How one answer went.
struct Answer {
  int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;            // in the program, for the prompt and from then on
  edgekit::Reason reason = edgekit::Reason::none;  // why it ended
};

class Conversation {
 public:
  // Takes what the next token adds to the answer; false stops it.
  using TakePiece = std::function<bool(const char *text, size_t size)>;

  // Session and generator must outlive it, and are its own.
  Conversation(edgekit::Session &session, edgekit::TextGenerator &generator);

  // Goes on with a prompt: the first as it is, later ones on a new line. The seed of a turn is the sampling's and the
  // number of the turn. TextGenerator::cancel() stops it; what was answered until then belongs to the text. False, with
  // a sentence in `why`, where the prompt does not fit (nothing changed then) or the program failed.
  bool answer(const std::string &prompt, const edgekit::Sampling &sampling, const TakePiece &take, Answer *answer,
              std::string *why);

  // Forgets everything.
  void start_over();

  // Tokens so far, and for how many there is room.
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t context() const { return generator_.settings().context; }
  // Whether no further prompt fits.
  bool is_full() const;

  // Keeps the conversation in a file, whole or not at all; and goes on with one that was kept by the same bundle, in
  // this process or another. What does not fit is refused with a sentence in `why`, and the conversation stays as it
  // is.
  bool save(const std::string &file, std::string *why);
  bool load(const std::string &file, std::string *why);

 private:
  bool encode(const std::string &prompt, std::vector<int64_t> *tokens, std::string *why) const;
  // Tokens of a prompt that there is room for, with one to answer.
  int64_t room() const;

  edgekit::Session &session_;
  edgekit::TextGenerator &generator_;
  std::vector<int64_t> tokens_;  // all of the text
  int64_t held_ = 0;             // how many of these the session's state has; the others come with the next prompt
  uint64_t turns_ = 0;
  bool is_broken_ = false;  // the program failed, and its state is of no use
};
