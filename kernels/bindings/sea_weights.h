// The weights of sea_estimate in the order of its schema, for every binding: names, shapes, and where they go.
#pragma once

#include <cstddef>
#include <cstdint>

#include "edgekit/ops.h"

namespace edgekit {

// Those that the sizes are taken from, and the one that holds int64.
enum SeaWeightIndex { kProjection = 0, kPositions = 1, kRowNormWeight = 10, kMapWeight = 18, kMapStart = 19 };
constexpr size_t kSeaWeights = 22;

struct SeaWeight {
  const char *name;
  const float *edgekit_sea_weights::*numbers;  // nullptr for map_start
  size_t rank;
  int64_t shape[4];
};

// The shapes for the sizes in `w`, by place in the list.
struct SeaWeightTable {
  SeaWeight weights[kSeaWeights];

  explicit SeaWeightTable(const edgekit_sea_weights &w)
      : weights{
            {"projection", &edgekit_sea_weights::projection, 2, {w.features, w.size}},
            {"positions", &edgekit_sea_weights::positions, 2, {w.capacity, w.size}},
            {"encoder_weight", &edgekit_sea_weights::encoder_weight, 2, {2 * w.size, 3 * w.size}},
            {"encoder_bias", &edgekit_sea_weights::encoder_bias, 1, {2 * w.size}},
            {"encoder_norm_weight", &edgekit_sea_weights::encoder_norm_weight, 1, {2 * w.size}},
            {"encoder_norm_bias", &edgekit_sea_weights::encoder_norm_bias, 1, {2 * w.size}},
            {"gates_weight", &edgekit_sea_weights::gates_weight, 2, {2, 2 * w.size}},
            {"gates_bias", &edgekit_sea_weights::gates_bias, 1, {2}},
            {"decoder_weight", &edgekit_sea_weights::decoder_weight, 2, {2 * w.width, 2 * w.size}},
            {"decoder_bias", &edgekit_sea_weights::decoder_bias, 1, {2 * w.width}},
            {"row_norm_weight", &edgekit_sea_weights::row_norm_weight, 1, {w.width}},
            {"row_norm_bias", &edgekit_sea_weights::row_norm_bias, 1, {w.width}},
            {"conv1_weight", &edgekit_sea_weights::conv1_weight, 4, {2 * w.heads, 2 * w.heads, 3, 3}},
            {"conv1_bias", &edgekit_sea_weights::conv1_bias, 1, {2 * w.heads}},
            {"conv2_weight", &edgekit_sea_weights::conv2_weight, 4, {2 * w.heads, 2 * w.heads, 3, 3}},
            {"conv2_bias", &edgekit_sea_weights::conv2_bias, 1, {2 * w.heads}},
            {"mix_weight", &edgekit_sea_weights::mix_weight, 2, {w.heads, 2 * w.heads}},
            {"mix_bias", &edgekit_sea_weights::mix_bias, 1, {w.heads}},
            {"map_weight", &edgekit_sea_weights::map_weight, 2, {w.cells, w.taps}},
            {"map_start", nullptr, 1, {w.cells}},
            {"score_norm_weight", &edgekit_sea_weights::score_norm_weight, 1, {w.cells}},
            {"score_norm_bias", &edgekit_sea_weights::score_norm_bias, 1, {w.cells}},
        } {}
};

}  // namespace edgekit
