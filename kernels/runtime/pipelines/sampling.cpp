#include "sampling.h"

#include <algorithm>
#include <cmath>

#include "core/failure.h"

namespace edgekit {
namespace {

constexpr uint64_t kMultiplier = 6364136223846793005u;
// Any odd number is a stream of its own.
constexpr uint64_t kIncrement = 1442695040888963407u;

}  // namespace

Draws::Draws(uint64_t seed) {
  next_bits();
  state_ += seed;
  next_bits();
}

uint32_t Draws::next_bits() {
  const uint64_t state = state_;
  state_ = state * kMultiplier + kIncrement;
  const uint32_t bits = static_cast<uint32_t>((state >> 18 ^ state) >> 27);
  const uint32_t turn = static_cast<uint32_t>(state >> 59);
  return bits >> turn | bits << (-turn & 31);
}

double Draws::next() {
  const uint64_t high = next_bits(), low = next_bits();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

size_t Sampler::choose(const float *logits, size_t count) {
  for (size_t token = 0; token < count; ++token)
    if (!std::isfinite(logits[token]))
      throw Failure(format("the program gave token %zu a logit that is not finite: verify the bundle.", token));
  const size_t likeliest = static_cast<size_t>(std::max_element(logits, logits + count) - logits);
  if (temperature_ == 0) return likeliest;
  weights_.resize(count);
  double sum = 0;
  for (size_t token = 0; token < count; ++token) {
    weights_[token] = std::exp((double{logits[token]} - double{logits[likeliest]}) / temperature_);
    sum += weights_[token];
  }
  const double wanted = draws_.next() * sum;
  double summed = 0;
  for (size_t token = 0; token < count; ++token) {
    summed += weights_[token];
    if (summed > wanted) return token;
  }
  return likeliest;  // not reached: the last sum is the whole one, and the draw is below 1
}

}  // namespace edgekit
