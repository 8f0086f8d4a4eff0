// TextGenerator: settings, one text at a time, and its thread.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/failure.h"
#include "edgekit/generate.h"
#include "sampling.h"
#include "text_program.h"

namespace edgekit {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";

void check_sampling(const Sampling &sampling) {
  if (sampling.max_tokens < 1)
    throw UsageFailure(format("%lld tokens to generate: give 1 or more.", static_cast<long long>(sampling.max_tokens)));
  if (!(sampling.temperature >= 0 && sampling.temperature <= std::numeric_limits<double>::max()))
    throw UsageFailure(format("the temperature is %g: give 0 for the likeliest token, or a number above.",
                              sampling.temperature));
}

// One call at a time, and none while a started text goes on.
class Claim {
 public:
  explicit Claim(std::atomic<bool> &busy) : busy_(&busy) {
    if (busy_->exchange(true, std::memory_order_acquire))
      throw UsageFailure("a text is being generated: wait for its end, or cancel it.");
  }
  Claim(Claim &&other) noexcept : busy_(other.busy_) { other.busy_ = nullptr; }
  Claim &operator=(Claim &&) = delete;
  ~Claim() {
    if (busy_ != nullptr) busy_->store(false, std::memory_order_release);
  }

 private:
  std::atomic<bool> *busy_;
};

}  // namespace

struct TextGenerator::Impl {
  explicit Impl(Session *session) : program(*session), settings(program.settings()) {
    const std::string file = std::string(session->folder()) + "/" + kTokenizerFile;
    tokenizer = Tokenizer::open(file.c_str());
    if (!tokenizer) pass_on();
    if (tokenizer->size() > settings.vocabulary)
      throw Failure(format("%s has %lld tokens, the program %lld: export it again.", file.c_str(),
                           static_cast<long long>(tokenizer->size()), static_cast<long long>(settings.vocabulary)));
  }

  ~Impl() {
    cancelled.store(true, std::memory_order_relaxed);
    if (thread.joinable()) thread.join();
  }

  void check_tokens(const int64_t *given, size_t count, int64_t position) const {
    const int64_t room = settings.context - position;
    if (position < 0 || count < 1 || room < 1 || count > static_cast<uint64_t>(room))
      throw UsageFailure(format("%zu tokens after %lld: give 1 to %lld.", count, static_cast<long long>(position),
                                static_cast<long long>(std::max<int64_t>(room, 0))));
    for (size_t place = 0; place < count; ++place)
      if (given[place] < 0 || given[place] >= settings.vocabulary)
        throw UsageFailure(format("token %lld is not in the vocabulary, 0 to %lld.",
                                  static_cast<long long>(given[place]),
                                  static_cast<long long>(settings.vocabulary - 1)));
  }

  size_t encode(const char *prompt, size_t size, int64_t *to, size_t room) const {
    size_t count = 0;
    const size_t before = settings.begin >= 0 ? 1 : 0, left = room < before ? 0 : room - before;
    if (before > 0 && room > 0) *to = settings.begin;
    if (!tokenizer->encode(prompt, size, left > 0 ? to + before : to, left, &count)) pass_on();
    if (count == 0) throw UsageFailure("the prompt is empty: give some text to go on with.");
    count += before;
    if (count >= static_cast<uint64_t>(settings.context)) {
      const auto longest = static_cast<long long>(settings.longest);
      const std::string more =
          settings.longest > settings.context ? format(", or export it with --set context= up to %lld", longest) : "";
      throw UsageFailure(format("the prompt has %zu tokens, the bundle takes %lld and one to generate: shorten it%s.",
                                count, static_cast<long long>(settings.context - 1), more.c_str()));
    }
    return count;
  }

  void begin(std::vector<int64_t> prompt, const Sampling &sampling, int64_t before) {
    check_sampling(sampling);
    const int64_t most_before = std::max<int64_t>(settings.context - 2, 0);
    if (before < 0 || before > most_before)
      throw UsageFailure(format("the text is to stand behind %lld tokens: give 0 to %lld.",
                                static_cast<long long>(before), static_cast<long long>(most_before)));
    // One more is to be generated.
    const int64_t most_prompt = settings.context - before - 1;
    if (prompt.size() > static_cast<uint64_t>(most_prompt))
      throw UsageFailure(format("%zu tokens to go on with: give 1 to %lld.", prompt.size(),
                                static_cast<long long>(most_prompt)));
    check_tokens(prompt.data(), prompt.size(), before);
    stream = tokenizer->stream();
    if (!stream) pass_on();
    sampler.emplace(sampling.temperature, sampling.seed);
    most = sampling.max_tokens;
    text.clear();
    tokens.clear();
    prompt_seconds = generated_seconds = 0;
    reason = Reason::none;
    program.forget_explanation();
    pending = std::move(prompt);
    prompt_tokens = pending.size();
    first = position = before;
    cancelled.store(false, std::memory_order_relaxed);
    goes_on = true;
  }

  TextStep step() {
    if (!goes_on) throw UsageFailure("no text goes on: begin one.");
    goes_on = false;  // unless nothing fails
    if (cancelled.load(std::memory_order_relaxed)) return ended(Reason::cancelled);
    const size_t done = static_cast<size_t>(position - first);
    const bool is_prompt = done < prompt_tokens;
    const size_t from = is_prompt ? done : 0;
    const size_t count = std::min(pending.size() - from, static_cast<size_t>(settings.chunk));
    const auto start = std::chrono::steady_clock::now();
    const float *logits = program.run(pending.data() + from, count, position, false);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    (is_prompt ? prompt_seconds : generated_seconds) += took.count();
    position += static_cast<int64_t>(count);
    if (static_cast<size_t>(position - first) < prompt_tokens) {
      goes_on = true;
      return {true, -1, "", 0};
    }
    return chosen(static_cast<int64_t>(sampler->choose(logits, static_cast<size_t>(tokenizer->size()))));
  }

  TextStep ended(Reason why) {
    reason = why;
    return {false, -1, "", 0};
  }

  TextStep chosen(int64_t token) {
    if (token == settings.end) return ended(Reason::end);
    size_t size = 0;
    const char *piece = stream->add(token, &size);
    if (piece == nullptr) pass_on();
    text.append(piece, size);
    tokens.push_back(token);
    pending.assign(1, token);
    if (static_cast<int64_t>(tokens.size()) == most) {
      reason = Reason::length;
    } else if (position == settings.context) {
      reason = Reason::context;
    }
    goes_on = reason == Reason::none;
    return {goes_on, token, piece, size};
  }

  void go_on(TakeText take, void *user) {
    while (goes_on) {
      const TextStep now = step();
      if (now.token >= 0 && take != nullptr && !take(user, now.token, now.text, now.size)) {
        goes_on = false;
        reason = Reason::cancelled;
      }
    }
  }

  std::vector<int64_t> encoded(const char *prompt, size_t size) const {
    // A byte has at most two tokens, a prompt fewer than the context.
    std::vector<int64_t> found(std::min(2 * size + 1, static_cast<size_t>(settings.context)));
    found.resize(encode(prompt, size, found.data(), found.size()));
    return found;
  }

  void join() {
    if (thread.joinable()) thread.join();
  }

  TextProgram program;
  const TextSettings &settings;
  TokenizerPointer tokenizer;

  // The text that goes on, or was the last to.
  bool goes_on = false;
  std::optional<Sampler> sampler;
  TextStreamPointer stream;
  int64_t most = 0;
  int64_t first = 0;             // tokens before it
  int64_t position = 0;          // tokens that the program has
  std::vector<int64_t> pending;  // the prompt, then the token that comes next
  size_t prompt_tokens = 0;
  double prompt_seconds = 0, generated_seconds = 0;
  std::vector<int64_t> tokens;
  std::string text;
  Reason reason = Reason::none;

  std::atomic<bool> cancelled{false};
  std::atomic<bool> busy{false};
  std::thread thread;
  // How the started text failed, "" if it did not.
  std::string failure;
  bool failure_is_usage = false;

  static_assert(std::atomic<bool>::is_always_lock_free, "cancel() is called by signal handlers");
};

bool check(const Sampling &sampling) noexcept {
  return guarded([&] {
    check_sampling(sampling);
    return true;
  });
}

const char *name_of(Reason reason) noexcept {
  constexpr const char *kNames[] = {"", "end", "length", "context", "cancelled"};
  const size_t index = static_cast<size_t>(reason);
  return index < sizeof kNames / sizeof *kNames ? kNames[index] : "";
}

TextGeneratorPointer TextGenerator::open(Session *session) noexcept {
  return guarded([&] { return TextGeneratorPointer(new TextGenerator(std::make_unique<Impl>(session))); });
}

TextGenerator::TextGenerator(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

TextGenerator::~TextGenerator() = default;

void TextGeneratorDeleter::operator()(TextGenerator *generator) const noexcept { delete generator; }

const TextSettings &TextGenerator::settings() const noexcept { return impl_->settings; }

const Tokenizer &TextGenerator::tokenizer() const noexcept { return *impl_->tokenizer; }

bool TextGenerator::encode(const char *prompt, size_t size, int64_t *tokens, size_t room,
                           size_t *count) const noexcept {
  return guarded([&] {
    *count = impl_->encode(prompt, size, tokens, room);
    return true;
  });
}

bool TextGenerator::logits(const int64_t *tokens, size_t count, int64_t position, bool every, float *to) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    impl_->check_tokens(tokens, count, position);
    impl_->goes_on = false;
    const size_t chunk = static_cast<size_t>(impl_->settings.chunk);
    const size_t words = static_cast<size_t>(impl_->settings.vocabulary);
    for (size_t start = 0; start < count; start += chunk) {
      const size_t size = std::min(chunk, count - start);
      const float *logits = impl_->program.run(tokens + start, size, position + static_cast<int64_t>(start), every);
      if (every) {
        std::copy_n(logits, size * words, to + start * words);
      } else if (start + size == count) {
        std::copy_n(logits, words, to);
      }
    }
    return true;
  });
}

bool TextGenerator::generate(const char *prompt, size_t size, const Sampling &sampling, TakeText take,
                             void *user) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    impl_->begin(impl_->encoded(prompt, size), sampling, 0);
    impl_->go_on(take, user);
    return true;
  });
}

bool TextGenerator::start(const char *prompt, size_t size, const Sampling &sampling, TakeText take,
                          void *user) noexcept {
  return guarded([&] {
    Claim claim(impl_->busy);
    impl_->begin(impl_->encoded(prompt, size), sampling, 0);
    impl_->join();
    impl_->failure.clear();
    Impl *impl = impl_.get();
    try {
      impl->thread = std::thread([impl, take, user, claim = std::move(claim)] {
        const bool done = guarded([&] {
          impl->go_on(take, user);
          return true;
        });
        if (done) return;
        impl->failure_is_usage = last_error_is_usage();
        impl->failure = last_error();
      });
    } catch (const std::system_error &error) {
      impl->goes_on = false;
      throw Failure(format("there is no thread for the text (%s): stop others, or use generate().", error.what()));
    }
    return true;
  });
}

bool TextGenerator::is_running() const noexcept { return impl_->busy.load(std::memory_order_acquire); }

bool TextGenerator::wait() noexcept {
  return guarded([&] {
    if (!impl_->thread.joinable()) throw UsageFailure("no text was started.");
    impl_->thread.join();
    if (impl_->failure.empty()) return true;
    if (impl_->failure_is_usage) throw UsageFailure(impl_->failure);
    throw Failure(impl_->failure);
  });
}

bool TextGenerator::begin(const int64_t *prompt, size_t count, const Sampling &sampling, int64_t position) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    impl_->begin(std::vector<int64_t>(prompt, prompt + count), sampling, position);
    return true;
  });
}

bool TextGenerator::step(TextStep *step) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    *step = impl_->step();
    return true;
  });
}

const Features *TextGenerator::features() const noexcept { return impl_->program.features(); }

bool TextGenerator::steer(const float *u) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    impl_->program.steer(u);
    impl_->goes_on = false;
    return true;
  });
}

bool TextGenerator::explain(bool on) noexcept {
  return guarded([&] {
    const Claim claim(impl_->busy);
    impl_->program.explain(on);
    impl_->goes_on = false;
    return true;
  });
}

Explanation TextGenerator::explanation() const noexcept { return impl_->program.explanation(); }

void TextGenerator::cancel() noexcept { impl_->cancelled.store(true, std::memory_order_relaxed); }

Generation TextGenerator::generation() const noexcept {
  const Impl &impl = *impl_;
  return {static_cast<int64_t>(impl.prompt_tokens),
          static_cast<int64_t>(impl.tokens.size()),
          impl.prompt_seconds,
          impl.generated_seconds,
          impl.tokens.data(),
          impl.text.data(),
          impl.text.size(),
          impl.reason,
          impl.position};
}

}  // namespace edgekit
