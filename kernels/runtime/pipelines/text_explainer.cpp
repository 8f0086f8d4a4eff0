#include "text_explainer.h"

#include <algorithm>
#include <cmath>

#include "core/failure.h"
#include "text_program.h"

namespace edgekit {
namespace {

constexpr char kMethod[] = "explain";

}  // namespace

TextExplainer::TextExplainer(Session &session, const TextSettings &settings, const Features &features)
    : session_(session),
      chunk_(settings.chunk),
      context_(settings.context),
      layers_(features.layer_count()),
      count_of_features_(features.count()),
      shown_(features.shown()) {
  const MethodSpec *method = session.find_method(kMethod);
  const bool several = chunk_ > 1;
  const bool fits = method != nullptr && method->input_count == 1 && method->output_count == 3 &&
                    is(method->inputs[0], DType::float32, {chunk_, layers_, count_of_features_ + 1}, several) &&
                    is(method->outputs[0], DType::int64, {chunk_, layers_, shown_}, several) &&
                    is(method->outputs[1], DType::float32, {chunk_, layers_, shown_}, several) &&
                    is(method->outputs[2], DType::float32, {chunk_, layers_}, several);
  if (!fits)
    throw Failure(format("%s has no method '%s' that fits its manifest's pipeline: export the bundle again.",
                         session.folder(), kMethod));
}

void TextExplainer::use(bool on) {
  if (on == is_used_) return;
  if (on) {
    if (!session_.load(kMethod)) pass_on();
    const size_t chunk = static_cast<size_t>(chunk_ * layers_), context = static_cast<size_t>(context_ * layers_);
    const size_t shown = static_cast<size_t>(shown_);
    features_.resize(chunk * shown);
    values_.resize(chunk * shown);
    unexplained_.resize(chunk);
    all_tokens_.reset(new int64_t[static_cast<size_t>(context_)]);
    all_features_.reset(new int64_t[context * shown]);
    all_values_.reset(new float[context * shown]);
    all_unexplained_.reset(new float[context]);
  } else {
    features_ = {};
    values_ = unexplained_ = {};
    all_tokens_.reset();
    all_features_.reset();
    all_values_.reset();
    all_unexplained_.reset();
  }
  forget();
  is_used_ = on;
}

void TextExplainer::run(const int64_t *tokens, float *taps, size_t count, int64_t position) {
  const int64_t size = static_cast<int64_t>(count);
  const int64_t taps_shape[] = {size, layers_, count_of_features_ + 1}, shape[] = {size, layers_, shown_};
  const Tensor input{taps, DType::float32, 3, taps_shape};
  const Tensor outputs[] = {{features_.data(), DType::int64, 3, shape},
                            {values_.data(), DType::float32, 3, shape},
                            {unexplained_.data(), DType::float32, 2, shape}};
  int64_t written[3] = {};
  // What is there of these positions is of another text, whatever comes now.
  if (position < position_ || position > position_ + count_) position_ = position;
  count_ = position - position_;
  if (!session_.run(kMethod, &input, 1, outputs, 3, written)) pass_on();
  if (std::any_of(written, written + 3, [&](int64_t rows) { return rows != size; }))
    throw Failure(format("the program explained another number of tokens than %zu: export the bundle again.", count));
  check(count);
  const size_t at = static_cast<size_t>(count_), layers = static_cast<size_t>(layers_);
  const size_t shown = layers * static_cast<size_t>(shown_);
  std::copy_n(tokens, count, all_tokens_.get() + at);
  std::copy_n(features_.data(), count * shown, all_features_.get() + at * shown);
  std::copy_n(values_.data(), count * shown, all_values_.get() + at * shown);
  std::copy_n(unexplained_.data(), count * layers, all_unexplained_.get() + at * layers);
  count_ += size;
}

// Numbers that others look up labels by.
void TextExplainer::check(size_t count) const {
  const size_t rows = count * static_cast<size_t>(layers_), numbers = rows * static_cast<size_t>(shown_);
  bool fits = true;
  for (size_t place = 0; place < numbers; ++place)
    fits = fits && features_[place] >= 0 && features_[place] < count_of_features_ && std::isfinite(values_[place]);
  for (size_t row = 0; row < rows; ++row) fits = fits && std::isfinite(unexplained_[row]);
  if (!fits) throw Failure("the program gave a feature that does not exist, or no number: verify the bundle.");
}

Explanation TextExplainer::explanation() const {
  return {position_, count_, all_tokens_.get(), all_features_.get(), all_values_.get(), all_unexplained_.get()};
}

}  // namespace edgekit
