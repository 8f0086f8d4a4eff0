#include "bench_case.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/json.h"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kTextTask[] = "generate_text", kTextMethod[] = "extend";
constexpr char kPrompt[] = "prompt", kToken[] = "token";
// Of a token, besides: a case and a method.
constexpr char kExplain[] = "explain";

// Whether it takes what texts are steered by, and gives what their features are found by.
bool is_tapped(const MethodSpec &method) {
  return method.input_count == 4 && method.inputs[3].rank == 2 && method.output_count == 2 && method.outputs[1].rank == 3;
}

bool is_text(const Session &session, const MethodSpec &method) {
  return std::strcmp(session.task(), kTextTask) == 0 && std::strcmp(method.name, kTextMethod) == 0 &&
         method.input_count == 2 + method.output_count && method.inputs[0].rank == 1 && method.output_count <= 2 &&
         method.outputs[0].rank == 2 && (method.output_count == 1 || is_tapped(method));
}

const char *unit_of(const Session &session) {
  if (std::strcmp(session.task(), "segment") == 0) return "frame";
  if (std::strcmp(session.task(), "detect_anomalies") == 0) return "window";
  return "call";
}

CaseText largest(const Session &session, const MethodSpec &method) {
  CaseText text{method.name, &method, std::nullopt, 1, unit_of(session), true};
  for (int input = 0; input < method.input_count && !text.rows; ++input)
    if (method.inputs[input].dynamic) text.rows = method.inputs[input].shape[0];
  if (std::strcmp(text.unit, "call") != 0 && method.input_count > 0 && method.inputs[0].rank > 0)
    text.items = method.inputs[0].shape[0];
  return text;
}

// A text's program, called as TextGenerator calls it: some tokens, how many came before them, and of which the logits
// are wanted, which is the last one; and what the token's features are, where that is timed.
class TextCase final : public BenchCase {
 public:
  TextCase(const Session &session, const CaseText &text)
      : extend_(*session.find_method(kTextMethod)),
        explain_(text.name == kExplain ? text.method : nullptr),
        is_prompt_(text.name == kPrompt),
        chunk_(extend_.inputs[0].shape[0]),
        vocabulary_(extend_.outputs[0].shape[1]),
        logits_(static_cast<size_t>(vocabulary_)) {
    const std::string file = std::string(session.folder()) + "/manifest.json";
    const Json manifest = Json::parse(session.manifest(), nullptr, false);
    context_ = JsonPart(manifest, file).part("pipeline").integer("context", 1);
    position_ = context_;
    // Tokens from all over the vocabulary, as a text has them.
    for (int64_t token = 0; token < chunk_; ++token) tokens_.push_back(token * vocabulary_ / chunk_);
    if (is_tapped(extend_)) {
      steering_.resize(size_of_shape(extend_.inputs[3]));
      taps_.resize(size_of_shape(extend_.outputs[1]));
    }
    for (int output = 0; explain_ != nullptr && output < explain_->output_count; ++output)
      found_.emplace_back(size_of_shape(explain_->outputs[output]));
  }

  double run(Session &session) override {
    if (is_prompt_) return extend(session, std::min(chunk_, context_), 0);
    if (position_ >= context_) {
      position_ = std::min(chunk_, context_ - 1);
      if (position_ > 0) extend(session, position_, 0);
    }
    const double ms = extend(session, 1, position_++);
    return explain_ == nullptr ? ms : explain(session);
  }

 private:
  static size_t size_of_shape(const TensorSpec &spec) {
    size_t size = 1;
    for (int dimension = 0; dimension < spec.rank; ++dimension) size *= static_cast<size_t>(spec.shape[dimension]);
    return size;
  }

  double extend(Session &session, int64_t count, int64_t position) {
    alignas(16) int64_t before = position;
    alignas(16) int64_t row = count - 1;
    const int64_t one = 1, logits_shape[] = {1, vocabulary_};
    std::vector<Tensor> inputs = {{tokens_.data(), DType::int64, 1, &count},
                                  {&before, DType::int64, 0, nullptr},
                                  {&row, DType::int64, 1, &one}};
    std::vector<Tensor> outputs = {{logits_.data(), DType::float32, 2, logits_shape}};
    if (!is_tapped(extend_)) return time(session, extend_, inputs, outputs);
    const int64_t taps_shape[] = {count, extend_.outputs[1].shape[1], extend_.outputs[1].shape[2]};
    inputs.push_back({steering_.data(), DType::float32, 2, extend_.inputs[3].shape});
    outputs.push_back({taps_.data(), DType::float32, 3, taps_shape});
    return time(session, extend_, inputs, outputs);
  }

  // Of one token.
  double explain(Session &session) {
    const int64_t taps_shape[] = {1, extend_.outputs[1].shape[1], extend_.outputs[1].shape[2]};
    std::vector<std::vector<int64_t>> shapes;
    std::vector<Tensor> outputs;
    for (int output = 0; output < explain_->output_count; ++output) {
      const TensorSpec &spec = explain_->outputs[output];
      shapes.emplace_back(spec.shape, spec.shape + spec.rank);
      if (spec.rank > 0) shapes.back()[0] = 1;
      outputs.push_back({found_[static_cast<size_t>(output)].data(), spec.dtype, spec.rank, shapes.back().data()});
    }
    return time(session, *explain_, {{taps_.data(), DType::float32, 3, taps_shape}}, outputs);
  }

  const MethodSpec &extend_, *explain_;
  bool is_prompt_;
  int64_t chunk_, vocabulary_, context_, position_;
  std::vector<int64_t> tokens_;
  std::vector<float> logits_, steering_, taps_;
  std::vector<std::vector<double>> found_;  // of any type
};

}  // namespace

double BenchCase::time(Session &session, const MethodSpec &method, const std::vector<Tensor> &inputs,
                       const std::vector<Tensor> &outputs) {
  ++session_runs_;
  const auto start = Clock::now();
  if (!session.run(method.name, inputs.data(), static_cast<int>(inputs.size()), outputs.data(),
                   static_cast<int>(outputs.size())))
    throw Failure(last_error());
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

LargestCase::LargestCase(const MethodSpec &method)
    : method_(method),
      inputs_(zeros(method.inputs, method.input_count)),
      outputs_(zeros(method.outputs, method.output_count)) {}

std::vector<Tensor> LargestCase::zeros(const TensorSpec *specs, int count) {
  std::vector<Tensor> tensors;
  for (int index = 0; index < count; ++index) {
    const TensorSpec &spec = specs[index];
    size_t size = size_of(spec.dtype);
    for (int dimension = 0; dimension < spec.rank; ++dimension) size *= static_cast<size_t>(spec.shape[dimension]);
    bytes_ += static_cast<int64_t>(size);
    memory_.emplace_back(size / 8 + 1);
    tensors.push_back({memory_.back().data(), spec.dtype, spec.rank, spec.shape});
  }
  return tensors;
}

std::vector<CaseText> cases_of(const Session &session, const std::optional<std::string> &wanted) {
  const MethodSpec *only = wanted ? session.find_method(wanted->c_str()) : nullptr;
  if (wanted && only == nullptr)
    throw UsageFailure(format("there is no method '%s': leave --method out for all.", wanted->c_str()));
  // What a text's pipeline never calls, such as a method that resets a foreign runtime's state, is timed when asked for.
  const MethodSpec *text = wanted ? only : session.find_method(kTextMethod);
  if (text != nullptr && is_text(session, *text)) {
    const TensorSpec &tokens = text->inputs[0];
    const auto rows = [&](int64_t count) { return tokens.dynamic ? std::optional<int64_t>(count) : std::nullopt; };
    std::vector<CaseText> found = {{kPrompt, text, rows(tokens.shape[0]), tokens.shape[0], kToken, false},
                                   {kToken, text, rows(1), 1, kToken, false}};
    const MethodSpec *explain = wanted ? nullptr : session.find_method(kExplain);
    if (explain != nullptr && is_tapped(*text)) found.push_back({kExplain, explain, rows(1), 1, kToken, false});
    return found;
  }
  std::vector<CaseText> found;
  for (int index = 0; index < session.method_count(); ++index)
    if (only == nullptr || only == &session.method(index)) found.push_back(largest(session, session.method(index)));
  return found;
}

std::unique_ptr<BenchCase> make_case(const Session &session, const CaseText &text) {
  if (text.is_largest) return std::make_unique<LargestCase>(*text.method);
  return std::make_unique<TextCase>(session, text);
}

}  // namespace edgekit
