// A language model that goes on with what you type: prompts from stdin, tokens to stdout as they come.
//
//     edgekit_DIR=$(python -c "import edgekit_runtime; print(edgekit_runtime.__path__[0])")/cmake
//     cmake -S examples/assistant -B build/assistant -Dedgekit_DIR=$edgekit_DIR && cmake --build build/assistant
//     build/assistant/assistant bundles/sea-opt-raspberry-pi-5-int8-dynamic --save talk.state
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "conversation.h"
#include "line_reader.h"

namespace {

constexpr int kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130;
// Signals until the program ends at once, saved or not: it may be waiting for a reader that does not read.
constexpr int kPatience = 2;
constexpr char kHelp[] =
    "usage: assistant BUNDLE [option]...\n"
    "\n"
    "  --max-tokens N     most tokens of an answer (100)\n"
    "  --temperature T    0 takes the likeliest token (at first); otherwise tokens are drawn\n"
    "  --seed N           of the draws; each answer adds 1 (0)\n"
    "  --resume FILE      go on with a conversation that was saved\n"
    "  --save FILE        save the conversation at the end\n"
    "  --threads N        threads of the program (one for each core)\n"
    "  -q, --quiet        no line of figures behind an answer\n"
    "\n"
    "Each line is a prompt. Ctrl-C stops the answer; once more, or with no answer going on, it ends the program.\n";
constexpr char kCommands[] =
    "/new starts over, /save FILE and /load FILE keep and resume the conversation, /quit or Ctrl-D ends.\n";

struct Request {
  std::string bundle, resume, save;
  edgekit::Sampling sampling;
  int threads = 0;
  bool is_quiet = false;
};

// What signals do: stop the answer that goes on, and wake who waits for a line.
edgekit::TextGenerator *answering = nullptr;
volatile sig_atomic_t interrupts = 0, is_terminated = 0;
int wake[2];

void handle(int signal) {
  const int kept = errno;
  interrupts = interrupts + 1;
  if (interrupts > kPatience) _exit(kInterrupted);
  if (signal == SIGTERM) is_terminated = 1;
  if (answering != nullptr) answering->cancel();
  if (write(wake[1], "", 1) < 0) {
    // The pipe is full of them.
  }
  errno = kept;
}

// What is being written goes on; a wait for a line ends all the same.
bool handle_signals() {
  if (pipe(wake) != 0) return false;
  for (const int end : wake) fcntl(end, F_SETFL, O_NONBLOCK);
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGINT, &action, nullptr) == 0 && sigaction(SIGTERM, &action, nullptr) == 0 &&
         signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

bool read_number(const char *text, unsigned long long *number) {
  char *end = nullptr;
  errno = 0;
  *number = std::strtoull(text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && std::strchr(text, '-') == nullptr;
}

// What is wrong with the value of an option; "" if nothing.
std::string take_option(const std::string &name, const char *value, Request &request) {
  const auto wrong = [&](const char *wanted) { return name + " " + value + ": give " + wanted + "."; };
  unsigned long long number = 0;
  if (name == "--max-tokens") {
    if (!read_number(value, &number) || number < 1 || number > INT32_MAX) return wrong("a number of tokens, 1 or more");
    request.sampling.max_tokens = static_cast<int64_t>(number);
  } else if (name == "--threads") {
    if (!read_number(value, &number) || number < 1 || number > 1024) return wrong("a number of threads, 1 or more");
    request.threads = static_cast<int>(number);
  } else if (name == "--seed") {
    if (!read_number(value, &number)) return wrong("a whole number");
    request.sampling.seed = number;
  } else if (name == "--temperature") {
    char *end = nullptr;
    request.sampling.temperature = std::strtod(value, &end);
    if (end == value || *end != '\0') return wrong("a number");
  } else if (name == "--resume") {
    request.resume = value;
  } else if (name == "--save") {
    request.save = value;
  } else {
    return "unknown option " + name + ": assistant --help shows those that there are.";
  }
  return "";
}

// What is wrong with the command line; "" if nothing.
std::string read_request(int count, char **arguments, Request &request) {
  for (int index = 1; index < count; ++index) {
    const std::string word = arguments[index];
    if (word == "-q" || word == "--quiet") {
      request.is_quiet = true;
    } else if (word.rfind("-", 0) == 0) {
      if (index + 1 == count) return word + " needs a value: assistant --help shows which.";
      const std::string problem = take_option(word, arguments[++index], request);
      if (!problem.empty()) return problem;
    } else if (!request.bundle.empty()) {
      return word + " is one word too many: give one bundle.";
    } else {
      request.bundle = word;
    }
  }
  if (request.bundle.empty()) return "a bundle is needed: assistant BUNDLE.";
  return edgekit::check(request.sampling) ? "" : edgekit::last_error();
}

// One person, or one pipe, and the conversation.
class Assistant {
 public:
  Assistant(edgekit::Session &session, edgekit::TextGenerator &generator, const Request &request)
      : generator_(generator), conversation_(session, generator), request_(request), lines_(STDIN_FILENO, wake[0]) {}

  // Gives the exit code.
  int run() {
    std::string why;
    if (!request_.resume.empty() && !conversation_.load(request_.resume, &why)) return say(why), kFailed;
    if (is_person_) std::fprintf(stderr, "%s", kCommands);
    bool is_interrupted = false;
    while (!is_over_ && !is_interrupted) {
      if (is_person_) std::fprintf(stderr, "> ");
      std::string line;
      const Input input = lines_.next(&line);
      is_interrupted = input == Input::interrupt;
      if (input == Input::end) break;
      if (input == Input::too_long) fail("a line of more than 1 MiB was passed over: shorten the prompt.");
      if (input == Input::line && !line.empty()) take(line);
      is_interrupted = is_interrupted || is_terminated != 0 || interrupts > 1;
      if (!is_interrupted) {
        lines_.forget_interrupts();
        interrupts = 0;
      }
    }
    if (!request_.save.empty() && !conversation_.save(request_.save, &why)) fail(why);
    return is_interrupted ? kInterrupted : has_failed_ ? kFailed : kDone;
  }

 private:
  void take(const std::string &line) {
    if (line[0] == '/') {
      command(line);
    } else {
      answer(line);
    }
  }

  void command(const std::string &line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space), file = space == std::string::npos ? "" : line.substr(space + 1);
    std::string why;
    if (name == "/new") {
      conversation_.start_over();
    } else if (name == "/quit") {
      is_over_ = true;
    } else if (name == "/help") {
      std::fprintf(stderr, "%s", kCommands);
    } else if (name != "/save" && name != "/load") {
      fail("there is no command " + name + ": /help shows those that there are.");
    } else if (file.empty()) {
      fail(name + " needs a file: " + name + " FILE.");
    } else if (!(name == "/save" ? conversation_.save(file, &why) : conversation_.load(file, &why))) {
      fail(why);
    }
  }

  void answer(const std::string &prompt) {
    Answer answer;
    std::string why;
    answering = &generator_;
    const bool done = conversation_.answer(
        prompt, request_.sampling, [&](const char *text, size_t size) { return print(text, size); }, &answer, &why);
    answering = nullptr;
    if (answer.tokens > 0 || done) print("\n", 1);
    if (!done) return fail(why);
    if (!request_.is_quiet) print_figures(answer);
    if (conversation_.is_full())
      say("the context of " + std::to_string(conversation_.context()) + " tokens is full: /new starts over.");
  }

  // Whether the answer shall go on.
  bool print(const char *text, size_t size) {
    if (std::fwrite(text, 1, size, stdout) == size && std::fflush(stdout) == 0) return interrupts == 0;
    if (!is_over_)
      fail("the answer cannot be written: the reader of this program's output is gone, or the disk is full.");
    is_over_ = true;
    return false;
  }

  void print_figures(const Answer &answer) const {
    // The first token comes with the prompt.
    const double seconds = answer.seconds, steps = static_cast<double>(answer.tokens - 1);
    std::fprintf(stderr, "[%lld + %lld tokens (%s), %lld of %lld, %.0f tokens/s]\n",
                 static_cast<long long>(answer.prompt_tokens), static_cast<long long>(answer.tokens),
                 edgekit::name_of(answer.reason), static_cast<long long>(conversation_.size()),
                 static_cast<long long>(conversation_.context()), seconds > 0 ? steps / seconds : 0.0);
  }

  static void say(const std::string &sentence) { std::fprintf(stderr, "%s\n", sentence.c_str()); }

  // A person goes on; of a pipe the exit code tells.
  void fail(const std::string &sentence) {
    say(sentence);
    has_failed_ = has_failed_ || !is_person_;
  }

  edgekit::TextGenerator &generator_;
  Conversation conversation_;
  const Request &request_;
  LineReader lines_;
  const bool is_person_ = isatty(STDIN_FILENO) != 0;
  bool is_over_ = false, has_failed_ = false;
};

int fail_as_said() {
  std::fprintf(stderr, "%s\n", edgekit::last_error());
  return edgekit::last_error_is_usage() ? kUsage : kFailed;
}

}  // namespace

int main(int count, char **arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--help") == 0) return std::fputs(kHelp, stdout), kDone;
  Request request;
  const std::string problem = read_request(count, arguments, request);
  if (!problem.empty()) return std::fprintf(stderr, "%s\n", problem.c_str()), kUsage;
  if (!edgekit::set_threads(request.threads)) return fail_as_said();
  const edgekit::SessionPointer session = edgekit::Session::open(request.bundle.c_str());
  if (!session) return fail_as_said();
  const edgekit::TextGeneratorPointer generator = edgekit::TextGenerator::open(session.get());
  if (!generator) return fail_as_said();
  if (!handle_signals()) return std::perror("signals"), kFailed;
  return Assistant(*session, *generator, request).run();
}
