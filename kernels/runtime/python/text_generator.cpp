// TextGenerator for Python: the interpreter is released while the program runs.

#include "edgekit/generate.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "features.h"
#include "tokenizer.h"

namespace edgekit {
namespace {

using Output = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

Sampling sampling(int64_t max_tokens, double temperature, uint64_t seed) {
  Sampling made;
  made.max_tokens = max_tokens;
  made.temperature = temperature;
  made.seed = seed;
  return made;
}

class PythonTextGenerator {
 public:
  explicit PythonTextGenerator(nb::object session) : generator_(TextGenerator::open(&session_of(session))) {
    if (!generator_) raise_last_error();
  }
  // The thread of a started text may wait for the interpreter to call `take_`.
  ~PythonTextGenerator() {
    const nb::gil_scoped_release released;
    generator_.reset();
  }
  PythonTextGenerator(const PythonTextGenerator &) = delete;
  PythonTextGenerator &operator=(const PythonTextGenerator &) = delete;

  std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t> settings() const {
    const TextSettings &found = generator_->settings();
    return {found.context, found.chunk, found.vocabulary, found.end, found.k_budget, found.begin, found.longest};
  }
  PythonTokenizer tokenizer() const { return PythonTokenizer(generator_->tokenizer()); }
  std::vector<int64_t> encode(nb::bytes prompt) const { return encoded(*generator_, prompt); }

  void logits(const std::vector<int64_t> &tokens, int64_t position, bool every, Output to) {
    const size_t rows = every ? tokens.size() : 1;
    if (to.size() != rows * static_cast<size_t>(generator_->settings().vocabulary))
      throw nb::value_error("the output has another size than the logits");
    check(released([&] { return generator_->logits(tokens.data(), tokens.size(), position, every, to.data()); }));
  }

  void begin(const std::vector<int64_t> &tokens, int64_t max_tokens, double temperature, uint64_t seed) {
    check(generator_->begin(tokens.data(), tokens.size(), sampling(max_tokens, temperature, seed)));
  }
  std::tuple<bool, int64_t, nb::str> step() {
    TextStep step = {};
    check(released([&] { return generator_->step(&step); }));
    return {step.more, step.token, nb::str(step.text, step.size)};
  }

  void start(nb::bytes prompt, int64_t max_tokens, double temperature, uint64_t seed, nb::object take) {
    if (!generator_->is_running()) {  // otherwise it is refused, and the text that goes on keeps its own
      take_ = std::move(take);
      raised_ = nullptr;
    }
    check(generator_->start(prompt.c_str(), prompt.size(), sampling(max_tokens, temperature, seed),
                            take_.is_none() ? nullptr : &give, this));
  }
  bool is_running() const { return generator_->is_running(); }
  void wait() {
    const bool done = released([&] { return generator_->wait(); });
    take_ = nb::none();  // it may refer to this object in turn
    if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
    check(done);
  }
  void cancel() { generator_->cancel(); }

  std::optional<PythonFeatures> features() const {
    if (generator_->features() == nullptr) return std::nullopt;
    return PythonFeatures(*generator_->features());
  }
  void steer(std::optional<Output> u) {
    const Features *known = generator_->features();
    if (u && known != nullptr && u->size() != static_cast<size_t>(known->layer_count() * known->count()))
      throw nb::value_error("the array has another size than the features");
    check(generator_->steer(u ? u->data() : nullptr));
  }
  void explain(bool on) {
    check(released([&] { return generator_->explain(on); }));
  }
  nb::tuple explanation() const {
    if (generator_->features() == nullptr) throw nb::value_error("there are no features");
    return explanation_of(generator_->explanation(), *generator_->features());
  }

  std::tuple<int64_t, double, double, std::string> progress() const {
    const Generation went = generator_->generation();
    return {went.prompt_tokens, went.prompt_seconds, went.generated_seconds, name_of(went.reason)};
  }
  std::vector<int64_t> tokens() const {
    const Generation went = generator_->generation();
    return std::vector<int64_t>(went.tokens, went.tokens + went.generated_tokens);
  }
  nb::str text() const {
    const Generation went = generator_->generation();
    return nb::str(went.text, went.text_size);
  }

 private:
  static void check(bool done) {
    if (!done) raise_last_error();
  }
  template <typename Call>
  static bool released(const Call &call) {
    const nb::gil_scoped_release released;
    return call();
  }

  // Called by the text's own thread. What `take` raises ends the text, and wait() raises it again.
  static bool give(void *user, int64_t, const char *text, size_t size) {
    const nb::gil_scoped_acquire acquired;
    PythonTextGenerator &self = *static_cast<PythonTextGenerator *>(user);
    try {
      return !self.take_(nb::str(text, size)).is(Py_False);
    } catch (...) {
      self.raised_ = std::current_exception();
      return false;
    }
  }

  TextGeneratorPointer generator_;
  nb::object take_ = nb::none();
  std::exception_ptr raised_;
};

}  // namespace

void bind_text_generator(nb::module_ &module) {
  nb::class_<PythonTextGenerator>(module, "TextGenerator")
      .def(nb::init<nb::object>(), nb::keep_alive<1, 2>())
      .def_prop_ro("settings", &PythonTextGenerator::settings)
      .def_prop_ro("tokenizer", &PythonTextGenerator::tokenizer, nb::keep_alive<0, 1>())
      .def("encode", &PythonTextGenerator::encode)
      .def("logits", &PythonTextGenerator::logits)
      .def("begin", &PythonTextGenerator::begin)
      .def("step", &PythonTextGenerator::step)
      .def("start", &PythonTextGenerator::start, nb::arg("prompt"), nb::arg("max_tokens"), nb::arg("temperature"),
           nb::arg("seed"), nb::arg("take").none())
      .def_prop_ro("is_running", &PythonTextGenerator::is_running)
      .def("wait", &PythonTextGenerator::wait)
      .def("cancel", &PythonTextGenerator::cancel)
      .def_prop_ro("features", &PythonTextGenerator::features, nb::keep_alive<0, 1>())
      .def("steer", &PythonTextGenerator::steer, nb::arg("u").none())
      .def("explain", &PythonTextGenerator::explain)
      .def("explanation", &PythonTextGenerator::explanation)
      .def("progress", &PythonTextGenerator::progress)
      .def("tokens", &PythonTextGenerator::tokens)
      .def("text", &PythonTextGenerator::text);
  module.def("check_sampling", [](int64_t max_tokens, double temperature, uint64_t seed) {
    if (!check(sampling(max_tokens, temperature, seed))) raise_last_error();
  });
}

}  // namespace edgekit
