// The reference: the state machine row by row, on the calling thread.

#include <algorithm>
#include <cmath>

#include "../common/work.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {
namespace {

float relu(float x) { return x < 0 ? 0 : x; }

void linear(const float *x, int64_t in, const float *weight, const float *bias, int64_t out, float *y) {
  for (int64_t o = 0; o < out; ++o) {
    double sum = bias == nullptr ? 0 : bias[o];
    for (int64_t i = 0; i < in; ++i) sum += static_cast<double>(weight[o * in + i]) * x[i];
    y[o] = static_cast<float>(sum);
  }
}

void normalize(float *x, int64_t count, const float *weight, const float *bias) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(count) + kNormEpsilon);
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + bias[i]);
}

// One row of one head: the sums so far, the code x, the gates and two channels.
class Head {
 public:
  Head(const Problem &p, int64_t head, int64_t row, void *scratch) : p_(p), w_(p.weights), head_(head), row_(row) {
    Arena arena(scratch);
    query_ = arena.take<float>(w_.features);
    key_ = arena.take<float>(w_.features);
    context_ = arena.take<float>(3 * w_.size);
    x_ = arena.take<float>(2 * w_.size);
  }

  void run(float *channels) {
    const int64_t at = head_ * p_.rows + row_, d = w_.size;
    make_features(p_.q + at * d, query_);
    make_features(p_.k + at * d, key_);
    add_token(at);
    linear(context_, 3 * d, w_.encoder_weight, w_.encoder_bias, 2 * d, x_);
    normalize(x_, 2 * d, w_.encoder_norm_weight, w_.encoder_norm_bias);
    for (int64_t i = 0; i < 2 * d; ++i) x_[i] = 0.5f * x_[i] * (1 + std::erf(x_[i] * 0.70710678f));
    linear(x_, 2 * d, w_.gates_weight, w_.gates_bias, 2, p_.gates + 2 * at);
    linear(x_, 2 * d, w_.decoder_weight, w_.decoder_bias, 2 * w_.width, channels);
    for (int64_t half = 0; half < 2; ++half) {
      float &gate = p_.gates[2 * at + half];
      gate = 1 / (1 + std::exp(-gate));
      normalize(channels + half * w_.width, w_.width, w_.row_norm_weight, w_.row_norm_bias);
    }
  }

 private:
  void make_features(const float *x, float *phi) const {
    linear(x, w_.size, w_.projection, nullptr, w_.features, phi);
    for (int64_t m = 0; m < w_.features; ++m) phi[m] = relu(phi[m]) + kLeastFeature;
  }

  void add_token(int64_t at) {
    const int64_t d = w_.size, token = p_.start_pos + row_;
    const float *v = p_.v + at * d, *position = w_.positions + token * d;
    float *keys = p_.state.keys + head_ * w_.features, *values = p_.state.values + head_ * d;
    double total = 0;
    for (int64_t m = 0; m < w_.features; ++m) {
      keys[m] += key_[m];
      total += static_cast<double>(query_[m]) * (keys[m] + kKeysEpsilon);
    }
    for (int64_t i = 0; i < 2 * d; ++i) {
      double sum = 0;
      for (int64_t m = 0; m < w_.features; ++m) {
        float &mine = p_.state.key_values[(head_ * w_.features + m) * 2 * d + i];
        mine += key_[m] * (i < d ? position[i] : v[i - d]);
        sum += static_cast<double>(query_[m]) * mine;
      }
      context_[i] = static_cast<float>(sum / total);
    }
    for (int64_t i = 0; i < d; ++i) {
      context_[2 * d + i] = v[i];
      values[i] += v[i];
      p_.v_mean[at * d + i] = values[i] / static_cast<float>(token + 1);
    }
  }

  const Problem &p_;
  const edgekit_sea_weights &w_;
  const int64_t head_, row_;
  float *query_, *key_, *context_, *x_;
};

// A row of a convolution and its ReLU; `input` is the row itself, the rows before it are in the state.
void convolve(const Problem &p, int64_t token, const float *rows, const float *input, const float *weight,
              const float *bias, float *output) {
  const int64_t channels = p.channels(), width = p.weights.width;
  const float *times[] = {rows + p.place(token - 4) * channels * width, rows + p.place(token - 2) * channels * width,
                          input};
  for (int64_t o = 0; o < channels; ++o) {
    for (int64_t column = 0; column < width; ++column) {
      double sum = bias[o];
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t time = 0; time < 3; ++time) {
          for (int64_t place = 0; place < 3; ++place) {
            const int64_t from = column + (place - 1) * kDilation;
            if (from < 0 || from >= width) continue;
            sum += static_cast<double>(weight[((o * channels + c) * 3 + time) * 3 + place]) *
                   times[time][c * width + from];
          }
        }
      }
      output[o * width + column] = relu(static_cast<float>(sum));
    }
  }
}

void score(const edgekit_sea_weights &w, const float *channels, int64_t head, float *mixed, float *scores) {
  for (int64_t column = 0; column < w.width; ++column) {
    double sum = 0;
    for (int64_t c = 0; c < 2 * w.heads; ++c)
      sum += static_cast<double>(w.mix_weight[head * 2 * w.heads + c]) * channels[c * w.width + column];
    mixed[column] = static_cast<float>(sum);
  }
  for (int64_t cell = 0; cell < w.cells; ++cell) {
    double sum = w.mix_bias[head];
    for (int64_t tap = 0; tap < w.taps; ++tap)
      sum += static_cast<double>(w.map_weight[cell * w.taps + tap]) * mixed[w.map_start[cell] + tap];
    scores[cell] = static_cast<float>(sum);
  }
  normalize(scores, w.cells, w.score_norm_weight, w.score_norm_bias);
}

void run(const edgekit_context &context, const Problem &p) {
  const edgekit_sea_weights &w = p.weights;
  const int64_t size = p.channels() * w.width;
  Arena arena(context.scratch);
  float *channels = arena.take<float>(size), *h1 = arena.take<float>(size), *h2 = arena.take<float>(size);
  void *scratch = arena.take<char>(0);
  for (int64_t row = 0; row < p.rows; ++row) {
    const int64_t token = p.start_pos + row;
    for (int64_t head = 0; head < w.heads; ++head) Head(p, head, row, scratch).run(channels + 2 * head * w.width);
    convolve(p, token, p.state.conv1_rows, channels, w.conv1_weight, w.conv1_bias, h1);
    convolve(p, token, p.state.conv2_rows, h1, w.conv2_weight, w.conv2_bias, h2);
    std::copy(channels, channels + size, p.state.conv1_rows + p.place(token) * size);
    std::copy(h1, h1 + size, p.state.conv2_rows + p.place(token) * size);
    for (int64_t head = 0; head < w.heads; ++head)
      score(w, h2, head, static_cast<float *>(scratch), p.scores + (head * p.rows + row) * w.cells);
  }
}

}  // namespace

const Kernels kScalar{Isa::kScalar, run};

}  // namespace edgekit::sea_estimate
