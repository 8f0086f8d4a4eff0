#include "conversation.h"

#include <algorithm>

#include "conversation_file.h"

using edgekit::last_error;

Conversation::Conversation(edgekit::Session &session, edgekit::TextGenerator &generator)
    : session_(session), generator_(generator) {}

int64_t Conversation::room() const {
  const int64_t waiting = size() - held_;
  return std::max<int64_t>(context() - 1 - held_ - waiting, 0);
}

// A prompt has a line feed and a token more.
bool Conversation::is_full() const { return !tokens_.empty() && room() < 2; }

void Conversation::start_over() {
  tokens_.clear();
  held_ = 0;  // the next text begins at position 0, for which the program forgets what was before
  turns_ = 0;
  is_broken_ = false;
}

bool Conversation::encode(const std::string &prompt, std::vector<int64_t> *tokens, std::string *why) const {
  if (prompt.empty()) {
    *why = "the prompt is empty: give some text to go on with.";
    return false;
  }
  // The generator puts the token that begins every text in front of the first prompt, and says how long one may be.
  const bool is_first = tokens_.empty();
  const std::string text = is_first ? prompt : "\n" + prompt;
  tokens->resize(2 * text.size() + 1);
  size_t count = 0;
  const bool done = is_first ? generator_.encode(text.data(), text.size(), tokens->data(), tokens->size(), &count)
                             : generator_.tokenizer().encode(text.data(), text.size(), tokens->data(), tokens->size(),
                                                             &count);
  if (!done) {
    *why = last_error();
    return false;
  }
  tokens->resize(count);
  if (static_cast<int64_t>(count) <= room()) return true;
  *why = is_full() ? "the context of " + std::to_string(context()) + " tokens is full: start over."
                   : "the prompt has " + std::to_string(count) + " tokens, and of the context of " +
                         std::to_string(context()) + " there are " + std::to_string(room()) +
                         " left: shorten it, or start over.";
  return false;
}

bool Conversation::answer(const std::string &prompt, const edgekit::Sampling &sampling, const TakePiece &take,
                          Answer *answer, std::string *why) {
  *answer = {};
  if (is_broken_) {
    *why = "the program failed in this conversation: start over, or load one that was saved.";
    return false;
  }
  std::vector<int64_t> added;
  if (!encode(prompt, &added, why)) return false;
  std::vector<int64_t> given(tokens_.begin() + held_, tokens_.end());
  given.insert(given.end(), added.begin(), added.end());
  edgekit::Sampling turn = sampling;
  turn.seed += turns_;
  if (!generator_.begin(given.data(), given.size(), turn, held_)) {
    *why = last_error();
    return false;
  }
  ++turns_;
  tokens_.insert(tokens_.end(), added.begin(), added.end());
  edgekit::TextStep step{true, -1, "", 0};
  while (step.more) {
    if (!generator_.step(&step)) {
      *why = last_error();
      is_broken_ = true;
      return false;
    }
    held_ = generator_.generation().position;
    if (step.token < 0) continue;
    tokens_.push_back(step.token);
    if (!take(step.text, step.size)) generator_.cancel();
  }
  const edgekit::Generation went = generator_.generation();
  *answer = {static_cast<int64_t>(added.size()), went.generated_tokens, went.prompt_seconds, went.generated_seconds,
             went.reason};
  return true;
}

bool Conversation::save(const std::string &file, std::string *why) {
  if (is_broken_) {
    *why = "the program failed in this conversation, there is nothing to save: start over.";
    return false;
  }
  KeptConversation kept{fingerprint(session_.manifest()), turns_, held_, tokens_, {}};
  kept.state.resize(session_.state_size());
  if (!session_.save_state(kept.state.data(), kept.state.size())) {
    *why = last_error();
    return false;
  }
  return write_conversation(file, kept, why);
}

bool Conversation::load(const std::string &file, std::string *why) {
  const edgekit::TextSettings &settings = generator_.settings();
  const ConversationLimits limits{fingerprint(session_.manifest()), settings.context, settings.vocabulary,
                                  session_.state_size()};
  KeptConversation kept;
  if (!read_conversation(file, limits, &kept, why)) return false;
  if (!session_.restore_state(kept.state.data(), kept.state.size())) {
    *why = last_error();
    return false;
  }
  tokens_ = std::move(kept.tokens);
  held_ = kept.held;
  turns_ = kept.turns;
  is_broken_ = false;
  return true;
}
