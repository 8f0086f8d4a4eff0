// Series from numpy's arrays.

#include <cmath>
#include <cstring>

#include "core/npy_file.h"
#include "series_data.h"

namespace edgekit {
namespace {

float from_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float magnitude = exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

template <typename T>
float convert(const uint8_t *item) {
  T number;
  std::memcpy(&number, item, sizeof number);
  return static_cast<float>(number);
}

float convert_half(const uint8_t *item) {
  uint16_t bits;
  std::memcpy(&bits, item, sizeof bits);
  return from_half(bits);
}

float convert_truth(const uint8_t *item) { return *item != 0 ? 1.0f : 0.0f; }

using Convert = float (*)(const uint8_t *);

// nullptr for what is not a number.
Convert conversion(char kind, size_t size) {
  switch (kind) {
    case 'b':
      return &convert_truth;
    case 'f':
      return size == 2 ? &convert_half : size == 4 ? &convert<float> : &convert<double>;
    case 'i':
      return size == 1   ? &convert<int8_t>
             : size == 2 ? &convert<int16_t>
             : size == 4 ? &convert<int32_t>
                         : &convert<int64_t>;
    case 'u':
      return size == 1   ? &convert<uint8_t>
             : size == 2 ? &convert<uint16_t>
             : size == 4 ? &convert<uint32_t>
                         : &convert<uint64_t>;
    default:
      return nullptr;
  }
}

}  // namespace

SeriesData read_npy_series(const std::string &path) {
  NpyFile file(path);
  std::vector<int64_t> shape = file.shape();
  if (shape.size() == 1) shape.push_back(1);
  const Convert convert = conversion(file.kind(), file.item_size());
  constexpr int64_t kMostChannels = 1 << 24;
  if (shape.size() != 2 || convert == nullptr || shape[1] > kMostChannels)
    throw Failure(format("%s holds %s: a series is numbers of shape (rows, channels).", path.c_str(),
                         file.description().c_str()));
  SeriesData data;
  data.rows = shape[0];
  data.channels = default_names(file.count() == 0 ? 0 : static_cast<size_t>(shape[1]));
  data.values.resize(static_cast<size_t>(file.count()));
  file.read([&](int64_t place, const uint8_t *item) { data.values[static_cast<size_t>(place)] = convert(item); });
  return data;
}

}  // namespace edgekit
