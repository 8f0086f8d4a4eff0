// sea_estimate on vectors of eight, see common/f32x8_avx2.h.
//
// A block of rows goes through four phases, each shared among the threads: heads (attention, encoder, decoder), the two
// convolutions, scores. All of a row's sums have an order of their own: blocks and shares do not change them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../common/fetch.h"
#include "../common/part.h"
#include "../common/work.h"
#include "attention.h"
#include "convolve.h"
#include "linear.h"
#include "pointwise.h"
#include "scores.h"
#include "sea_estimate.h"

namespace edgekit::sea_estimate {

// Multiplications that are worth a thread's wakening.
constexpr int64_t kGrain = 65536;

template <typename Simd>
class Estimate {
 public:
  static void run(const edgekit_context &context, const Problem &problem) {
    for (int64_t first = 0; first < problem.rows; first += kBlock)
      Estimate(context, problem, first, std::min(kBlock, problem.rows - first)).run_block();
  }

 private:
  using V = typename Simd::Floats;

  Estimate(const edgekit_context &context, const Problem &problem, int64_t first, int64_t count)
      : context_(context),
        p_(problem),
        w_(problem.weights),
        first_(first),
        count_(count),
        channels_(problem.channels()),
        pitch_(pitch(w_.width)),
        row_(channels_ * pitch_),
        thread_size_(thread_scratch(w_, count)) {
    Arena arena(context.scratch);
    inputs_[0] = arena.take<float>((kHistory + count) * row_);
    inputs_[1] = arena.take<float>((kHistory + count) * row_);
    outputs_ = arena.take<float>(count * channels_ * whole_vectors(w_.width));
    threads_ = arena.take<char>(0);
  }

  void run_block() const {
    const int64_t size = w_.size, per_row = size * (6 * w_.features + 6 * size + 4 * w_.width);
    share(context_, w_.heads, 1 + kGrain / (count_ * per_row), [&](int task, int64_t begin, int64_t end) {
      const int64_t group = std::max<int64_t>(1, kBlock / count_);
      for (int64_t head = begin; head < end; head += group)
        encode(head, std::min(group, end - head), scratch(task));
    });
    convolve_block(inputs_[0], w_.conv1_weight, w_.conv1_bias, [&](int64_t row, int64_t channel, int64_t at, V sum) {
      const V h = Simd::larger(Simd::set(0), sum);
      const int64_t rest = w_.width - at;
      store_part<Simd>(input(1, kHistory + row, channel) + at, h, rest);
      if (is_kept(row)) store_part<Simd>(kept(p_.state.conv2_rows, token(row), channel) + at, h, rest);
    });
    convolve_block(inputs_[1], w_.conv2_weight, w_.conv2_bias, [&](int64_t row, int64_t channel, int64_t at, V sum) {
      Simd::store(outputs_ + (row * channels_ + channel) * whole_vectors(w_.width) + at,
                  Simd::larger(Simd::set(0), sum));
    });
    const int64_t of_scores = w_.heads * (channels_ * w_.width + w_.cells * w_.taps);
    share(context_, count_, 1 + kGrain / of_scores, [&](int task, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        score<Simd>(w_, outputs_ + row * channels_ * whole_vectors(w_.width), p_.scores + (first_ + row) * w_.cells,
                    p_.rows * w_.cells, scratch(task));
    });
  }

  void *scratch(int task) const { return threads_ + static_cast<size_t>(task) * thread_size_; }
  int64_t token(int64_t row) const { return p_.start_pos + first_ + row; }
  // Whether a row's inputs of the convolutions belong to the state after the block.
  bool is_kept(int64_t row) const { return row >= count_ - kHistory; }
  float *kept(float *rows, int64_t token, int64_t channel) const {
    return rows + (p_.place(token) * channels_ + channel) * w_.width;
  }
  // The first column of a channel in the inputs of a convolution; row 0 is kHistory before the block.
  float *input(int convolution, int64_t row, int64_t channel) const {
    return inputs_[convolution] + row * row_ + channel * pitch_ + kMargin;
  }

  // Everything that some heads need no other heads for: the block's rows of their two channels each.
  void encode(int64_t first_head, int64_t heads, void *memory) const {
    const int64_t rows = heads * count_, d = w_.size, twice = 2 * d, m = w_.features, width = w_.width;
    Arena arena(memory);
    float *asked = arena.take<float>(2 * rows * d), *phi = arena.take<float>(2 * rows * m);
    float *contexts = arena.take<float>(rows * 3 * d), *x = arena.take<float>(rows * twice);
    float *lines = arena.take<float>(rows * 2 * width), *gates = arena.take<float>(rows * 2);
    const auto each_row = [&](const auto &body) {
      for (int64_t head = first_head, at = 0; head < first_head + heads; ++head)
        for (int64_t row = 0; row < count_; ++row, ++at) body(head, row, at);
    };
    const auto fetch_sums = [&](int64_t head) {
      if (head < first_head + heads) fetch(p_.state.key_values + head * m * twice, m * twice * sizeof(float));
    };
    const size_t bytes = static_cast<size_t>(d) * sizeof(float);
    fetch_sums(first_head);
    each_row([&](int64_t head, int64_t row, int64_t at) {
      const int64_t from = (head * p_.rows + first_ + row) * d;
      std::memcpy(asked + 2 * at * d, p_.q + from, bytes);
      std::memcpy(asked + (2 * at + 1) * d, p_.k + from, bytes);
      std::memcpy(contexts + at * 3 * d, w_.positions + token(row) * d, bytes);
      std::memcpy(contexts + at * 3 * d + d, p_.v + from, bytes);
      std::memcpy(contexts + at * 3 * d + twice, p_.v + from, bytes);
    });
    linear<Simd>(asked, 2 * rows, d, w_.projection, nullptr, m, phi);
    make_features<Simd>(phi, 2 * rows * m);
    each_row([&](int64_t head, int64_t row, int64_t at) {
      const int64_t to = (head * p_.rows + first_ + row) * d;
      float *context = contexts + at * 3 * d;
      if (row == 0) fetch_sums(head + 1);
      add_mean<Simd>(context + twice, d, token(row) + 1, p_.state.values + head * d, p_.v_mean + to);
      attend<Simd>(phi + 2 * at * m, phi + (2 * at + 1) * m, m, twice, p_.state.keys + head * m,
                   p_.state.key_values + head * m * twice, context);
    });
    linear<Simd>(contexts, rows, 3 * d, w_.encoder_weight, w_.encoder_bias, twice, x);
    for (int64_t at = 0; at < rows; ++at)
      normalize<Simd>(x + at * twice, twice, w_.encoder_norm_weight, w_.encoder_norm_bias, x + at * twice);
    apply_gelu<Simd>(x, rows * twice);
    linear<Simd>(x, rows, twice, w_.gates_weight, w_.gates_bias, 2, gates);
    linear<Simd>(x, rows, twice, w_.decoder_weight, w_.decoder_bias, 2 * width, lines);
    for (const float *weight : {w_.conv1_weight, w_.conv2_weight})  // of the next phases
      fetch(weight, channels_ * channels_ * 9 * sizeof *weight);
    for (int64_t channel = 2 * first_head; channel < 2 * (first_head + heads); ++channel) recall(channel);
    each_row([&](int64_t head, int64_t row, int64_t at) {
      for (int64_t half = 0; half < 2; ++half) {
        p_.gates[(head * p_.rows + first_ + row) * 2 + half] = 1.0f / (1.0f + std::exp(-gates[2 * at + half]));
        const int64_t channel = 2 * head + half;
        float *to = input(0, kHistory + row, channel);
        normalize<Simd>(lines + (2 * at + half) * width, width, w_.row_norm_weight, w_.row_norm_bias, to);
        if (is_kept(row))
          std::memcpy(kept(p_.state.conv1_rows, token(row), channel), to, static_cast<size_t>(width) * sizeof(float));
      }
    });
  }

  // A channel's rows before the block from the state, and zeros around all its rows.
  void recall(int64_t channel) const {
    float *const states[] = {p_.state.conv1_rows, p_.state.conv2_rows};
    for (int convolution = 0; convolution < 2; ++convolution) {
      for (int64_t row = 0; row < kHistory + count_; ++row) {
        float *to = input(convolution, row, channel);
        std::fill(to - kMargin, to, 0.0f);
        std::fill(to + w_.width, to + pitch_ - kMargin, 0.0f);
        const bool seen = count_ > 1 || row % kDilation == 0;
        if (row < kHistory && seen)
          std::memcpy(to, kept(states[convolution], token(row - kHistory), channel),
                      static_cast<size_t>(w_.width) * sizeof(float));
      }
    }
  }

  // Calls store(row, channel, column, numbers) for the block's rows of one convolution.
  template <typename Store>
  void convolve_block(const float *from, const float *weight, const float *bias, const Store &store) const {
    const int64_t groups = (channels_ + kOutputs - 1) / kOutputs, across = (w_.width + kColumns - 1) / kColumns;
    const int64_t work = kOutputs * kColumns * channels_ * 9;
    share(context_, count_ * groups * across, 1 + kGrain / work, [&](int, int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / across / groups, first = item / across % groups * kOutputs;
        const int64_t column = item % across * kColumns;
        const float *input = from + row * row_ + kMargin + column;
        const Window<3, 3> window{input, channels_, pitch_, kDilation * row_, weight, bias};
        convolve<Simd>(window, first, std::min(kOutputs, channels_ - first), column + 8 < w_.width,
                       [&](int64_t channel, int64_t at, V sum) { store(row, channel, column + at, sum); });
      }
    });
  }

  const edgekit_context &context_;
  const Problem &p_;
  const edgekit_sea_weights &w_;
  const int64_t first_, count_;            // rows of this block
  const int64_t channels_, pitch_, row_;   // row_: floats from row to row of inputs_
  const size_t thread_size_;
  float *inputs_[2];                       // of the convolutions: kHistory rows, then the block's
  float *outputs_;                         // of the second
  char *threads_;
};

}  // namespace edgekit::sea_estimate
