#include "text_program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/failure.h"
#include "core/json.h"
#include "features_file.h"

namespace edgekit {
namespace {

constexpr char kTask[] = "generate_text";
constexpr char kMethod[] = "extend";
constexpr int64_t kMost = INT32_MAX;
// Bytes that a kernel may read behind an input.
constexpr size_t kSpare = 16;

int64_t setting(const JsonPart &pipeline, const char *name, int64_t least) {
  const int64_t value = pipeline.integer(name, least);
  if (value > kMost) throw pipeline.wrong(name);
  return value;
}

// `none` where it is null.
int64_t optional_setting(const JsonPart &pipeline, const char *name, int64_t least, int64_t none) {
  return !pipeline.has(name) ? none : setting(pipeline, name, least);
}

TextSettings read_settings(const Session &session) {
  const std::string file = std::string(session.folder()) + "/manifest.json";
  if (std::strcmp(session.task(), kTask) != 0)
    throw UsageFailure(format("%s has the task %s, not %s: give the bundle of a language model.", session.folder(),
                              session.task(), kTask));
  const Json manifest = Json::parse(session.manifest(), nullptr, false);
  const JsonPart pipeline = JsonPart(manifest, file).part("pipeline");
  return {setting(pipeline, "context", 1), setting(pipeline, "chunk", 1), setting(pipeline, "vocabulary", 1),
          optional_setting(pipeline, "end", 0, -1), optional_setting(pipeline, "k_budget", 1, 0),
          optional_setting(pipeline, "begin", 0, -1), optional_setting(pipeline, "longest", 1, 0)};
}

}  // namespace

void pass_on() {
  if (last_error_is_usage()) throw UsageFailure(last_error());
  throw Failure(last_error());
}

bool is(const TensorSpec &spec, DType dtype, std::initializer_list<int64_t> shape, bool dynamic) {
  return spec.dtype == dtype && spec.dynamic == dynamic && spec.rank == static_cast<int>(shape.size()) &&
         std::equal(shape.begin(), shape.end(), spec.shape);
}

TextProgram::TextProgram(Session &session) : session_(session), settings_(read_settings(session)) {
  if (explain_settings(session)) {
    features_ = Features::open(&session);
    if (!features_) pass_on();
  }
  check_method();
  const size_t chunk = static_cast<size_t>(settings_.chunk);
  if (features_) {
    explainer_.emplace(session, settings_, *features_);
    const size_t layers = static_cast<size_t>(features_->layer_count());
    const size_t count = static_cast<size_t>(features_->count());
    steering_.resize(layers * count + kSpare / sizeof(float));
    taps_.reset(new float[chunk * layers * (count + 1) + kSpare / sizeof(float)]);
  }
  logits_.reset(new float[chunk * static_cast<size_t>(settings_.vocabulary)]);
}

// tokens int64 (T), tokens before these int64, rows int64 (R) -> logits float32 (R, vocabulary); with features also
// steering float32 (layers, features) -> taps float32 (T, layers, features + 1)
void TextProgram::check_method() const {
  const MethodSpec *method = session_.find_method(kMethod);
  const int64_t chunk = settings_.chunk;
  const bool several = chunk > 1;
  const int more = features_ ? 1 : 0;
  bool fits = method != nullptr && method->input_count == 3 + more && method->output_count == 1 + more &&
              is(method->inputs[0], DType::int64, {chunk}, several) && is(method->inputs[1], DType::int64, {}, false) &&
              is(method->inputs[2], DType::int64, {chunk}, several) &&
              is(method->outputs[0], DType::float32, {chunk, settings_.vocabulary}, several);
  if (fits && features_)
    fits = is(method->inputs[3], DType::float32, {features_->layer_count(), features_->count()}, false) &&
           is(method->outputs[1], DType::float32, {chunk, features_->layer_count(), features_->count() + 1}, several);
  if (!fits)
    throw Failure(format("%s has no method '%s' that fits its manifest's pipeline: export the bundle again.",
                         session_.folder(), kMethod));
}

const float *TextProgram::run(const int64_t *given, size_t count, int64_t position, bool every) {
  const int64_t shape = static_cast<int64_t>(count), wanted = every ? shape : 1;
  rows_.clear();
  for (int64_t row = shape - wanted; row < shape; ++row) rows_.push_back(row);
  // The program wants its inputs aligned, which the middle of a prompt need not be.
  part_.assign(given, given + count);
  alignas(16) int64_t before = position;
  const int64_t logits_shape[] = {wanted, settings_.vocabulary};
  const int64_t layers = features_ ? features_->layer_count() : 0, features = features_ ? features_->count() : 0;
  const int64_t steering_shape[] = {layers, features}, taps_shape[] = {shape, layers, features + 1};
  const Tensor inputs[] = {{part_.data(), DType::int64, 1, &shape},
                           {&before, DType::int64, 0, nullptr},
                           {rows_.data(), DType::int64, 1, &wanted},
                           {steering_.data(), DType::float32, 2, steering_shape}};
  const Tensor outputs[] = {{logits_.get(), DType::float32, 2, logits_shape},
                            {taps_.get(), DType::float32, 3, taps_shape}};
  int64_t written[2] = {0, shape};
  const int more = features_ ? 1 : 0;
  if (!session_.run(kMethod, inputs, 3 + more, outputs, 1 + more, written)) pass_on();
  if (written[0] != wanted || written[1] != shape)
    throw Failure(format("the program gave logits of %lld tokens instead of %lld: export the bundle again.",
                         static_cast<long long>(written[0]), static_cast<long long>(wanted)));
  if (explainer_ && explainer_->is_used()) explainer_->run(part_.data(), taps_.get(), count, position);
  return logits_.get();
}

const Features &TextProgram::needed_features() const {
  if (!features_ && !Features::open(&session_)) pass_on();  // which says that there are none
  return *features_;
}

void TextProgram::steer(const float *u) {
  if (u == nullptr) return std::fill(steering_.begin(), steering_.end(), 0.0f);
  const Features &features = needed_features();
  const size_t count = static_cast<size_t>(features.layer_count()) * static_cast<size_t>(features.count());
  if (!std::all_of(u, u + count, [](float amount) { return std::isfinite(amount); }))
    throw UsageFailure("an amount to steer by is not finite: give numbers.");
  std::copy_n(u, count, steering_.data());
}

void TextProgram::explain(bool on) {
  if (on) needed_features();
  if (explainer_) explainer_->use(on);
}

void TextProgram::forget_explanation() {
  if (explainer_) explainer_->forget();
}

Explanation TextProgram::explanation() const { return explainer_ ? explainer_->explanation() : Explanation{}; }

}  // namespace edgekit
