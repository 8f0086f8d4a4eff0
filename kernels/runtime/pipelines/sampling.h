// Choosing the next token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgekit {

// PCG32: the generator pcg_xsh_rr_64_32 of M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically
// Good Algorithms for Random Number Generation" (2014), on one stream.
class Draws {
 public:
  explicit Draws(uint64_t seed);
  // From [0, 1), of 53 bits: the upper ones of two outputs, the first above.
  double next();

 private:
  uint32_t next_bits();
  uint64_t state_ = 0;
};

class Sampler {
 public:
  Sampler(double temperature, uint64_t seed) : temperature_(temperature), draws_(seed) {}

  // A token by its logits: at temperature 0 the first of the likeliest, otherwise drawn from softmax(logits /
  // temperature). One draw a token: the first token where the summed weights, in double, exceed draw * sum.
  // Throws Failure if a logit is infinite or no number.
  size_t choose(const float *logits, size_t count);

 private:
  double temperature_;
  Draws draws_;
  std::vector<double> weights_;
};

}  // namespace edgekit
