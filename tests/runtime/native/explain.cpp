// A language model's bundle with features: texts that are steered and explained, and files of features that are no good.

#include <atomic>
#include <thread>

#include "cases.h"
#include "edgekit/generate.h"

namespace {

// Tokens that were chosen, and what the program was given: tokens, features, values, unexplained.
void give(Case &all, const edgekit::TextGenerator &generator) {
  const edgekit::Generation went = generator.generation();
  const edgekit::Explanation why = generator.explanation();
  const edgekit::Features &features = *generator.features();
  const size_t tokens = static_cast<size_t>(why.count), layers = static_cast<size_t>(features.layer_count());
  const size_t shown = tokens * layers * static_cast<size_t>(features.shown());
  all.give(went.tokens, 8 * static_cast<size_t>(went.generated_tokens));
  all.give(why.tokens, 8 * tokens);
  all.give(why.features, 8 * shown);
  all.give(why.values, 4 * shown);
  all.give(why.unexplained, 4 * tokens * layers);
}

}  // namespace

// Bundles: one with features, one without. Input: a prompt. Its 12 tokens, explained, with generate() and on a thread of
// their own; steered; what is refused; neither explained nor steered any more.
void run_explain(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]), plain = open(all.bundles[1]);
  const edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
  const edgekit::TextGeneratorPointer without = edgekit::TextGenerator::open(plain.get());
  must(generator != nullptr && without != nullptr, "TextGenerator::open");
  const char *prompt = all.inputs[0].as<char>();
  const size_t size = all.inputs[0].size();
  const edgekit::Features &features = *generator->features();
  edgekit::Sampling sampling;
  sampling.max_tokens = 12;

  must(generator->explain(true), "explain");
  must(generator->generate(prompt, size, sampling), "generate");
  give(all, *generator);
  // The text waits in its callback until it could not be steered.
  static std::atomic<bool> was_refused;
  was_refused = false;
  static constexpr auto kWaiting = [](void *, int64_t, const char *, size_t) {
    while (!was_refused) std::this_thread::yield();
    return true;
  };
  must(generator->start(prompt, size, sampling, kWaiting), "start");
  all.give(refused(generator->steer(nullptr), "steering while a text goes on").c_str());
  was_refused = true;
  must(generator->wait(), "wait");
  give(all, *generator);

  std::vector<float> u(static_cast<size_t>(features.layer_count() * features.count()));
  must(features.steer("1:2", 0.3, u.data()) && features.steer("2:5", -0.2, u.data()), "steer");
  const std::vector<float> before = u;
  all.give(refused(features.steer("1:2", 0.7, u.data()), "a KL that is too large").c_str());
  all.give(refused(features.steer("1:12", 0.1, u.data()), "a feature that is none").c_str());
  all.give(refused(features.steer("2:7", 0.1, u.data()), "a feature without amounts").c_str());
  if (u != before) end("what was refused steers");
  all.give(u);
  must(generator->steer(u.data()), "steer");
  must(generator->generate(prompt, size, sampling), "generate");
  give(all, *generator);

  if (*features.label(2, 0) != '\0' || *features.label(0, -1) != '\0' || *features.label(-1, 0) != '\0')
    end("a feature that does not exist has a label");
  if (without->features() != nullptr) end("a bundle without features has some");
  all.give(refused(without->explain(true), "a bundle without features").c_str());
  all.give(refused(without->steer(u.data()), "a bundle without features").c_str());
  must(without->steer(nullptr) && without->explain(false), "turning off what is off");

  must(generator->steer(nullptr) && generator->explain(false), "turning off");
  must(generator->generate(prompt, size, sampling), "generate");
  if (generator->explanation().count != 0) end("a text is explained that was not to be");
  give(all, *generator);
}

// Bundles with files of features: the sentence with which each is refused, or "" where it is not.
void run_features(Case &all) {
  edgekit::Options options;
  options.check_files = false;
  for (const std::string &folder : all.bundles) {
    const edgekit::SessionPointer session = open(folder, options);
    const edgekit::FeaturesPointer features = edgekit::Features::open(session.get());
    all.give(features != nullptr ? "" : refused(false, folder.c_str()).c_str());
    if (features == nullptr) continue;
    std::vector<float> u(static_cast<size_t>(features->layer_count() * features->count()));
    edgekit::Steered found;
    for (const char *name : {"0", "1:0", "2:7", "", ":", "4294967296:0", "0:4294967296", "-0"})
      if (features->find(name, &found)) features->steer(name, 0.1, u.data(), &found);
  }
}
