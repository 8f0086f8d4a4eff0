// session_c.h: texts.

#include <vector>

#include "call.h"
#include "edgekit/generate.h"

using edgekit::refuse_null;
using edgekit::status_of;

struct edgekit_text {
  edgekit::TextGeneratorPointer generator;
};

namespace {

edgekit::Sampling sampling_of(const edgekit_sampling &given) {
  edgekit::Sampling sampling;
  sampling.max_tokens = given.max_tokens;
  sampling.temperature = given.temperature;
  sampling.seed = given.seed;
  return sampling;
}

}  // namespace

edgekit_session_status edgekit_text_open(edgekit_session *session, edgekit_text **text) {
  if (session == nullptr || text == nullptr) return refuse_null("edgekit_text_open");
  *text = nullptr;
  edgekit::TextGeneratorPointer opened = edgekit::TextGenerator::open(session->session.get());
  if (!opened) return status_of(false);
  return status_of(edgekit::guarded([&] {
    *text = new edgekit_text{std::move(opened)};
    return true;
  }));
}

void edgekit_text_close(edgekit_text *text) { delete text; }

edgekit_session_status edgekit_text_generate(edgekit_text *text, const char *prompt, size_t size,
                                             const edgekit_sampling *sampling, edgekit_take_text take, void *user) {
  if (text == nullptr || prompt == nullptr || sampling == nullptr) return refuse_null("edgekit_text_generate");
  return status_of(text->generator->generate(prompt, size, sampling_of(*sampling), take, user));
}

edgekit_session_status edgekit_text_begin(edgekit_text *text, const char *prompt, size_t size,
                                          const edgekit_sampling *sampling) {
  if (text == nullptr || prompt == nullptr || sampling == nullptr) return refuse_null("edgekit_text_begin");
  return status_of(edgekit::guarded([&] {
    size_t count = 0;
    // The first call says how many there are, or what is wrong with the prompt.
    if (!text->generator->encode(prompt, size, nullptr, 0, &count)) return false;
    std::vector<int64_t> tokens(count);
    return text->generator->encode(prompt, size, tokens.data(), count, &count) &&
           text->generator->begin(tokens.data(), count, sampling_of(*sampling));
  }));
}

edgekit_session_status edgekit_text_step(edgekit_text *text, bool *more, int64_t *token, const char **piece,
                                         size_t *piece_size) {
  if (text == nullptr || more == nullptr) return refuse_null("edgekit_text_step");
  edgekit::TextStep step{};
  const bool done = text->generator->step(&step);
  *more = done && step.more;
  if (token != nullptr) *token = done ? step.token : -1;
  if (piece != nullptr) *piece = done ? step.text : "";
  if (piece_size != nullptr) *piece_size = done ? step.size : 0;
  return status_of(done);
}

void edgekit_text_cancel(edgekit_text *text) {
  if (text != nullptr) text->generator->cancel();
}

edgekit_session_status edgekit_text_generation(const edgekit_text *text, edgekit_generation *generation) {
  if (text == nullptr || generation == nullptr) return refuse_null("edgekit_text_generation");
  const edgekit::Generation went = text->generator->generation();
  *generation = {went.prompt_tokens, went.generated_tokens, went.prompt_seconds, went.generated_seconds,
                 went.tokens,        went.text,             went.text_size,      edgekit::name_of(went.reason)};
  return EDGEKIT_SESSION_OK;
}
