// The reference: sorts the cells, then walks over their tokens twice, for the largest score and for the sums.

#include <algorithm>
#include <cmath>
#include <limits>

#include "../common/float16.h"
#include "../common/key.h"
#include "../common/work.h"
#include "sparse_topk_attention.h"

namespace edgekit::sparse_topk_attention {
namespace {

struct Cell {
  int32_t key;
  int32_t place;
};

const int32_t *rank(const float *scores, int64_t heads, int64_t cells, int64_t stride, int64_t n, void *scratch) {
  Arena arena(scratch);
  Cell *all = arena.take<Cell>(heads * cells);
  int32_t *chosen = arena.take<int32_t>(n);
  for (int64_t head = 0; head < heads; ++head) {
    const float *row = scores + head * stride;
    double largest = row[0], sum = 0;
    for (int64_t cell = 0; cell < cells; ++cell) largest = std::max<double>(largest, row[cell]);
    for (int64_t cell = 0; cell < cells; ++cell) sum += std::exp(row[cell] - largest);
    for (int64_t cell = 0; cell < cells; ++cell) {
      const double logarithm = row[cell] - largest - std::log(sum);
      const int32_t place = static_cast<int32_t>(head * cells + cell);
      all[place] = {key_of(static_cast<float>(logarithm)), place};
    }
  }
  std::sort(all, all + heads * cells,
            [](const Cell &a, const Cell &b) { return a.key > b.key || (a.key == b.key && a.place < b.place); });
  for (int64_t cell = 0; cell < n; ++cell) chosen[cell] = all[cell].place;
  std::sort(chosen, chosen + n);
  return chosen;
}

double number(float x) { return x; }
double number(uint16_t half) { return half_to_float(half); }
double number(int8_t quant) { return quant; }

template <typename T, typename Visit>
void for_each_token(const Head<T> &head, const Visit &visit) {
  const int64_t count = head.chosen == nullptr ? head.cells : head.count;
  for (int64_t place = 0; place < count; ++place) {
    const int64_t cell = head.chosen == nullptr ? place : head.chosen[place] - head.first;
    const int64_t end = edge(cell + 1, head.cells, head.tokens);
    for (int64_t token = edge(cell, head.cells, head.tokens); token < end; ++token) visit(token);
  }
}

template <typename T>
double score(const Head<T> &head, int64_t token) {
  double sum = 0;
  for (int64_t place = 0; place < head.size; ++place)
    sum += number(head.k[token * head.size + place]) * head.q[place];
  return head.k_scale == nullptr ? sum : sum * head.k_scale[token];
}

template <typename T>
void attend(const Head<T> &head, void *scratch) {
  double *mixed = Arena(scratch).take<double>(head.size);
  std::fill(mixed, mixed + head.size, 0.0);
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  bool any = false;
  for_each_token(head, [&](int64_t token) {
    largest = std::max(largest, score(head, token));
    any = true;
  });
  for_each_token(head, [&](int64_t token) {
    const double weight = std::exp(score(head, token) - largest);
    const double scale = head.v_scale == nullptr ? 1 : head.v_scale[token];
    sum += weight;
    for (int64_t place = 0; place < head.size; ++place)
      mixed[place] += weight * scale * number(head.v[token * head.size + place]);
  });
  const double g0 = head.gates[0], g1 = head.gates[1];
  for (int64_t place = 0; place < head.size; ++place) {
    const double attention = any ? mixed[place] / sum : 0;
    head.out[place] = static_cast<float>(g1 * g0 * attention + (1 - g1) * head.v_mean[place]);
  }
}

}  // namespace

const Kernels kScalar{Isa::kScalar, rank, attend<float>, attend<uint16_t>, attend<int8_t>};

}  // namespace edgekit::sparse_topk_attention
