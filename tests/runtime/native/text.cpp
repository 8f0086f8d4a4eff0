// A language model's bundle: named states, and texts.

#include <atomic>
#include <thread>

#include "cases.h"
#include "edgekit/generate.h"

namespace {

constexpr int64_t kTokens = 5;

// Runs the program on tokens that stand from a position on; gives the last one's logits.
void extend(Case &all, edgekit::Session &session, const int64_t *tokens, int64_t before) {
  const edgekit::MethodSpec &method = *session.find_method("extend");
  const int64_t count[] = {kTokens}, rows[] = {1}, shape[] = {1, method.outputs[0].shape[1]};
  alignas(16) int64_t last = kTokens - 1, position = before;
  std::vector<float> logits(static_cast<size_t>(shape[1]));
  const edgekit::Tensor inputs[] = {{const_cast<int64_t *>(tokens), edgekit::DType::int64, 1, count},
                                    {&position, edgekit::DType::int64, 0, nullptr},
                                    {&last, edgekit::DType::int64, 1, rows}};
  const edgekit::Tensor output{logits.data(), edgekit::DType::float32, 2, shape};
  int64_t written = 0;
  must(session.run("extend", inputs, 3, &output, 1, &written), "run");
  if (written != 1) end("the program gave another number of rows");
  all.give(logits);
}

struct Listener {
  std::vector<int64_t> tokens;
  size_t most = SIZE_MAX;

  static bool take(void *user, int64_t token, const char *, size_t) {
    auto &self = *static_cast<Listener *>(user);
    self.tokens.push_back(token);
    return self.tokens.size() < self.most;
  }
};

// Steps until the text is at its end; gives its tokens.
void steps(edgekit::TextGenerator &generator, std::vector<int64_t> &tokens) {
  edgekit::TextStep step{true, -1, "", 0};
  while (step.more) {
    must(generator.step(&step), "step");
    if (step.token >= 0) tokens.push_back(step.token);
  }
}

// The text of 12 tokens in two goes: 5 of them, and the others in another session, from what was saved of the first.
void run_in_two(Case &all, edgekit::Session &session, edgekit::TextGenerator &generator, const char *prompt,
                size_t size) {
  std::vector<int64_t> given(2 * size + 1), found;
  size_t count = 0;
  must(generator.encode(prompt, size, given.data(), given.size(), &count), "encode");
  edgekit::Sampling sampling;
  sampling.max_tokens = 5;
  must(generator.begin(given.data(), count, sampling), "begin");
  steps(generator, found);
  const int64_t position = generator.generation().position;
  if (position != static_cast<int64_t>(count) + 4) end("the program has another number of tokens");
  std::vector<char> saved(session.state_size());
  must(session.save_state(saved.data(), saved.size()), "save_state");

  const edgekit::SessionPointer other = open(all.bundles[0]);
  must(other->restore_state(saved.data(), saved.size()), "restore_state");
  const edgekit::TextGeneratorPointer resumed = edgekit::TextGenerator::open(other.get());
  must(resumed != nullptr, "TextGenerator::open");
  sampling.max_tokens = 7;
  const int64_t last = found.back(), context = resumed->settings().context;
  must(resumed->begin(&last, 1, sampling, position), "begin");
  steps(*resumed, found);
  all.give(found.data(), 8 * found.size());
  all.give(refused(resumed->begin(&last, 1, sampling, context - 1), "a text behind a full context").c_str());
  all.give(refused(resumed->begin(&last, 1, sampling, -1), "a text behind -1 tokens").c_str());
}

}  // namespace

// Inputs: two texts of 10 tokens. Their first halves in two states, their second halves in turns; one again from what
// was saved of it.
void run_states(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  const int64_t *texts[] = {all.inputs[0].as<int64_t>(), all.inputs[1].as<int64_t>()};
  const char *names[] = {"default", "other"};
  for (int index = 0; index < 2; ++index) {
    must(session->use_state(names[index]), "use_state");
    extend(all, *session, texts[index], 0);
  }
  std::vector<char> saved(session->state_size());
  must(session->save_state(saved.data(), saved.size()), "save_state");
  for (int index = 0; index < 2; ++index) {
    must(session->use_state(names[index]), "use_state");
    extend(all, *session, texts[index] + kTokens, kTokens);
  }
  must(session->reset_state(), "reset_state");
  must(session->restore_state(saved.data(), saved.size()), "restore_state");
  extend(all, *session, texts[1] + kTokens, kTokens);
  all.give(refused(session->restore_state(saved.data(), saved.size() - 1), "a state that is too short").c_str());
  all.give(refused(session->drop_state("other"), "dropping the state in use").c_str());
  must(session->use_state("default") && session->drop_state("other"), "drop_state");
  const edgekit::SessionPointer fresh = open(all.bundles[0]);
  must(fresh->restore_state(saved.data(), saved.size()), "restore_state");
  extend(all, *fresh, texts[1] + kTokens, kTokens);
}

// Input: a prompt. Its 12 tokens, with generate() and on a thread of their own; cancelled by the callback and from
// another thread; a second text while one goes on.
void run_text(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  const edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
  must(generator != nullptr, "TextGenerator::open");
  const char *prompt = all.inputs[0].as<char>();
  const size_t size = all.inputs[0].size();
  edgekit::Sampling sampling;
  sampling.max_tokens = 12;
  const auto give = [&](const Listener &listener) {
    const edgekit::Generation generation = generator->generation();
    all.give(listener.tokens.data(), 8 * listener.tokens.size());
    all.give(generation.text, generation.text_size);
    all.give(edgekit::name_of(generation.reason));
  };
  Listener whole, started, short_one, cancelled;
  must(generator->generate(prompt, size, sampling, Listener::take, &whole), "generate");
  give(whole);
  must(generator->start(prompt, size, sampling, Listener::take, &started), "start");
  while (generator->is_running()) std::this_thread::yield();
  must(generator->wait(), "wait");
  give(started);
  short_one.most = 3;
  must(generator->generate(prompt, size, sampling, Listener::take, &short_one), "generate");
  give(short_one);

  // The text waits in its callback until a second one was refused and it was cancelled.
  static std::atomic<int> step;
  const auto wait_for = [](int wanted) {
    while (step < wanted) std::this_thread::yield();
  };
  static constexpr auto kWaiting = [](void *, int64_t, const char *, size_t) {
    if (step == 0) {
      step = 1;
      while (step < 2) std::this_thread::yield();
    }
    return true;
  };
  must(generator->start(prompt, size, sampling, kWaiting, nullptr), "start");
  wait_for(1);
  all.give(refused(generator->generate(prompt, size, sampling), "a second text").c_str());
  generator->cancel();
  step = 2;
  must(generator->wait(), "wait");
  give(cancelled);
  all.give(refused(generator->generate("", 0, sampling), "an empty prompt").c_str());
  must(generator->generate(prompt, size, sampling), "generate");
  run_in_two(all, *session, *generator, prompt, size);
  // A generator that goes while its text does: it is cancelled.
  must(generator->start(prompt, size, sampling), "start");
}
