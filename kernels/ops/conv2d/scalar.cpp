// The reference: the sum as it is written in textbooks.

#include "../common/work.h"
#include "conv2d.h"

namespace edgekit::conv2d {
namespace {

float output(const Problem &p, int64_t image, int64_t channel, int64_t row, int64_t column) {
  float sum = p.bias != nullptr ? p.bias[channel] : 0.0f;
  for (int64_t c = 0; c < p.c; ++c) {
    for (int64_t i = 0; i < p.kh; ++i) {
      for (int64_t j = 0; j < p.kw; ++j) {
        const int64_t y = row + i - p.pad_h, x = column + j - p.pad_w;
        if (y < 0 || y >= p.h || x < 0 || x >= p.w) continue;
        sum += p.x[((image * p.c + c) * p.h + y) * p.w + x] * p.weight[((channel * p.c + c) * p.kh + i) * p.kw + j];
      }
    }
  }
  return sum < 0.0f ? sum * p.activation : sum;
}

void run(const edgekit_context &context, const Problem &p, const Plan &) {
  share(context, p.n * p.o * p.out_h, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line)
      for (int64_t column = 0; column < p.out_w; ++column)
        p.y[line * p.out_w + column] = output(p, line / p.out_h / p.o, line / p.out_h % p.o, line % p.out_h, column);
  });
}

}  // namespace

const Kernels kScalar{Isa::kScalar, run};

}  // namespace edgekit::conv2d
