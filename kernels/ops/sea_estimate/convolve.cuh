// A convolution of the estimator and its ReLU. A thread has 4 places of 12 outputs in registers: a term's two fours of
// inputs and nine of weights serve 144 products.
#pragma once

#include "pointwise.cuh"
#include "tile.cuh"

namespace edgekit::sea_estimate {

constexpr int kGroup = 12, kSliceChannels = 8, kTaps = 9;
constexpr int kLines = static_cast<int>(kConvolveRows) + kHistory, kPlaces = static_cast<int>(kConvolvePlaces);
constexpr int kOutputs = static_cast<int>(kConvolveOutputs);
// Places of an input begin at place -2; weights of a tap lie by output.
constexpr int kInputPitch = kPlaces + 2 * kDilation, kWeightPitch = kOutputs + 4;

struct ConvolveMemory {
  float input[kLines * kSliceChannels * kInputPitch];
  float weight[kSliceChannels * kTaps * kWeightPitch];
};

// Inputs of the block's rows and those before, and weights, of some channels.
inline void stage_channels(const CudaConvolve &p, int row, int place, int output, int channel, int count,
                           ConvolveMemory &memory) {
  constexpr int kLanes = static_cast<int>(cuda::kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  const int warps = static_cast<int>(blockDim.x) / kLanes, last = p.rows + kHistory - 1;
  const float *inputs = p.input + static_cast<int64_t>(channel) * p.width + place - kDilation;
#pragma unroll 3
  for (int item = warp; item < kLines * kSliceChannels; item += warps) {
    // Beyond rows and channels the last ones stand again, which nobody uses; places outside are zero.
    const int line = min(row + item / kSliceChannels, last), c = min(item % kSliceChannels, count - 1);
    const float *from = inputs + static_cast<int64_t>(line * p.channels + c) * p.width;
#pragma unroll
    for (int i = lane; i < kInputPitch; i += kLanes)
      memory.input[item * kInputPitch + i] = place + i >= kDilation && place + i < p.width + kDilation ? from[i] : 0;
  }
  const int terms = count * kTaps;
  for (int item = warp; item < kOutputs; item += warps) {
    const int line = min(output + item, p.channels - 1);
    const float *from = p.weight + (static_cast<int64_t>(line) * p.channels + channel) * kTaps;
    for (int i = lane; i < terms; i += kLanes) memory.weight[i * kWeightPitch + item] = from[i];
  }
}

// The last four rows of the inputs to the state, by all blocks.
inline void keep_rows(const CudaConvolve &p) {
  const int size = p.channels * p.width;
  const unsigned block = blockIdx.y * gridDim.x + blockIdx.x, step = gridDim.x * gridDim.y * blockDim.x;
  for (unsigned i = block * blockDim.x + threadIdx.x; i < static_cast<unsigned>(kHistory * size); i += step) {
    const int row = static_cast<int>(i) / size, at = static_cast<int>(i) % size;
    const int64_t place = (p.start_pos + p.rows + row) % kHistory;
    p.kept[place * size + at] = p.input[(static_cast<int64_t>(p.rows) + row) * size + at];
  }
}

inline void convolve_rows(const CudaConvolve &p, ConvolveMemory &memory) {
  constexpr int kAcross = kPlaces / 4;
  const int thread = static_cast<int>(threadIdx.x), across = (p.width + kPlaces - 1) / kPlaces;
  const int row = static_cast<int>(blockIdx.x * kConvolveRows);
  const int place = static_cast<int>(blockIdx.y) % across * kPlaces;
  const int output = static_cast<int>(blockIdx.y) / across * kOutputs;
  const int four = thread % kAcross * 4, line = thread / kAcross % static_cast<int>(kConvolveRows);
  const int group = thread / (kAcross * static_cast<int>(kConvolveRows)) * kGroup;
  keep_rows(p);
  float sum[kGroup][4];
#pragma unroll
  for (int i = 0; i < kGroup; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[i][j] = 0;
  for (int channel = 0; channel < p.channels; channel += kSliceChannels) {
    const int count = min(kSliceChannels, p.channels - channel);
    cuda::sync_block();
    stage_channels(p, row, place, output, channel, count, memory);
    cuda::sync_block();
    for (int c = 0; c < count; ++c) {
#pragma unroll
      for (int time = 0; time < 3; ++time) {
        const float *from = memory.input + ((line + kDilation * time) * kSliceChannels + c) * kInputPitch + four;
        const float *by = memory.weight + (c * 3 + time) * 3 * kWeightPitch + group;
        const float4 low = load4(from), high = load4(from + 4);
        const float inputs[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int tap = 0; tap < 3; ++tap) {
          float factors[kGroup];
          load_outputs(by + tap * kWeightPitch, factors);
#pragma unroll
          for (int i = 0; i < kGroup; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) sum[i][j] += factors[i] * inputs[kDilation * tap + j];
        }
      }
    }
  }
  if (row + line >= p.rows) return;
  float *to = p.output + static_cast<int64_t>(row + line) * p.channels * p.width + place + four;
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    const int at = output + group + i;
    if (at >= p.channels) break;
    const float bias = p.bias[at];
    put4(to + static_cast<int64_t>(at) * p.width,
         make_float4(relu(sum[i][0] + bias), relu(sum[i][1] + bias), relu(sum[i][2] + bias), relu(sum[i][3] + bias)),
         p.width - place - four, p.width % 4 == 0);
  }
}

}  // namespace edgekit::sea_estimate
