// Text generation: a prompt in, the text that follows out, as it comes.

#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/json.h"
#include "edgekit/generate.h"
#include "explained.h"
#include "memory_parts.h"
#include "output.h"
#include "tasks.h"

namespace edgekit {
namespace {

using Handler = void (*)(int);

TextGenerator *running = nullptr;
volatile std::sig_atomic_t interrupted = 0;
Handler handler_before = SIG_DFL;

// The first Ctrl-C ends the text, the next one the program.
void interrupt(int signal) {
  if (interrupted != 0 && handler_before != SIG_DFL && handler_before != SIG_IGN) handler_before(signal);
  interrupted = 1;
  if (running != nullptr) running->cancel();
}

std::string prompt_of(const Request &request) {
  if (request.prompt && !request.inputs.empty()) throw UsageFailure("--prompt and --input were given: leave one out.");
  if (request.prompt) return *request.prompt;
  if (request.inputs.size() != 1)
    throw UsageFailure("this bundle goes on with a text: give it with --prompt TEXT, or one --input FILE.txt.");
  std::ifstream file(request.inputs[0], std::ios::binary);
  if (!file) throw UsageFailure(format("there is no file %s: check the path.", request.inputs[0].c_str()));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool print_text(void *, int64_t, const char *text, size_t size) {
  return std::fwrite(text, 1, size, stdout) == size && std::fflush(stdout) == 0;
}

double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

}  // namespace

void run_generate_text(Session &session, const Request &request) {
  take_only(request, {"input", "prompt", "max-tokens", "temperature", "seed", "explain", "steer"});
  const std::string prompt = prompt_of(request);
  const TextGeneratorPointer generator = TextGenerator::open(&session);
  if (!generator) fail_as_said();
  const std::vector<Steered> steered = use_features(session, *generator, request);
  Sampling sampling;
  if (request.max_tokens) sampling.max_tokens = *request.max_tokens;
  if (request.temperature) sampling.temperature = *request.temperature;
  if (request.seed) sampling.seed = static_cast<uint64_t>(*request.seed);
  running = generator.get();
  handler_before = std::signal(SIGINT, interrupt);
  if (handler_before == SIG_IGN) std::signal(SIGINT, SIG_IGN);
  if (!request.json) print_text(nullptr, 0, prompt.data(), prompt.size());
  const bool done = generator->generate(prompt.data(), prompt.size(), sampling, request.json ? nullptr : print_text);
  std::signal(SIGINT, handler_before);
  running = nullptr;
  if (!request.json) std::printf("\n");
  if (!done) fail_as_said();
  const Generation went = generator->generation();
  const double prompt_rate = rate(went.prompt_tokens, went.prompt_seconds);
  // The first token comes with the prompt.
  const double generated_rate = rate(went.generated_tokens - 1, went.generated_seconds);
  if (request.json) {
    Json answer = {{"prompt", prompt},
                   {"text", std::string(went.text, went.text_size)},
                   {"reason", name_of(went.reason)},
                   {"prompt_tokens", went.prompt_tokens},
                   {"generated_tokens", went.generated_tokens},
                   {"prompt_tokens_per_s", prompt_rate},
                   {"generated_tokens_per_s", generated_rate},
                   {"peak_memory_bytes", peak_memory()}};
    if (request.explain || !steered.empty()) answer["explanation"] = explanation_json(*generator, steered);
    std::printf("%s\n", answer.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    if (!steered.empty()) print_steering(*generator->features(), steered);
    if (request.explain) print_explanation(*generator);
  }
  if (!request.json && !request.quiet) {
    std::printf("\nprompt: %lld tokens, %.0f tokens/s; generated: %lld tokens (%s), %.0f tokens/s; peak memory of this "
                "process: %.1f MB.\n",
                static_cast<long long>(went.prompt_tokens), prompt_rate, static_cast<long long>(went.generated_tokens),
                name_of(went.reason), generated_rate, 1e-6 * static_cast<double>(peak_memory()));
  }
  if (interrupted != 0 || went.reason == Reason::cancelled) throw Interrupted();
}

}  // namespace edgekit
