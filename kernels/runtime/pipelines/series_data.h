// What a series is made of, for the readers of each kind of file.
#pragma once

#include <string>
#include <vector>

namespace edgekit {

struct SeriesData {
  int64_t rows = 0;
  std::vector<float> values;  // (rows, channels)
  std::vector<std::string> channels;
  bool named = false;
  // The rows' labels, each with a null byte at its end, and where they begin; empty without labels.
  std::string labels;
  std::vector<size_t> label_places;
};

SeriesData read_csv_series(const std::string &path);
SeriesData read_npy_series(const std::string &path);

// What channels are called that have no name.
std::vector<std::string> default_names(size_t count);

// `row` counts from 0; `rows` is how many rows are as bad.
[[noreturn]] void refuse_value(const std::string &origin, int64_t row, const std::string &channel, int64_t rows);

}  // namespace edgekit
