// Series: which reader a file needs, and what must hold for every series.

#include "edgekit/series.h"

#include <cmath>
#include <map>

#include "core/failure.h"
#include "core/files.h"
#include "core/text.h"
#include "series_data.h"

namespace edgekit {
namespace {

// From the last point of the file's name on; "" for a name that only begins with one.
std::string suffix_of(const std::string &path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const size_t point = name.rfind('.');
  return point == std::string::npos || point == 0 ? "" : name.substr(point);
}

SeriesData read_series(const std::string &path) {
  if (!is_file(path)) throw UsageFailure(format("there is no file %s: check the path.", path.c_str()));
  if (file_size(path) > kLargestSeries)
    throw Failure(format("%s is larger than %llu GiB: split it into shorter series.", path.c_str(),
                         static_cast<unsigned long long>(kLargestSeries >> 30)));
  const std::string suffix = suffix_of(path);
  if (suffix == ".npy") return read_npy_series(path);
  if (suffix == ".csv" || suffix == ".txt") return read_csv_series(path);
  throw UsageFailure(format("%s is not a series: give a .csv, .txt, .npy file.", path.c_str()));
}

std::vector<const char *> pointers(const std::vector<std::string> &texts) {
  std::vector<const char *> found;
  for (const std::string &text : texts) found.push_back(text.c_str());
  return found;
}

void refuse_gaps(const float *values, int64_t rows, const char *const *channels, int count, const char *origin) {
  if (rows == 0 || count == 0) throw Failure(format("%s has no values.", origin));
  int64_t bad = 0, first_row = 0;
  int first_channel = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int channel = 0; channel < count; ++channel) {
      if (std::isfinite(values[row * count + channel])) continue;
      if (bad++ == 0) first_row = row, first_channel = channel;
      break;
    }
  if (bad > 0) refuse_value(origin, first_row, channels[first_channel], bad);
}

std::vector<int> find_order(const char *const *given, int given_count, bool named, const char *const *wanted, int count,
                            const char *origin) {
  const std::vector<std::string> names(wanted, wanted + count);
  if (given_count != count)
    throw Failure(format("%s has %d channels, %d are needed: %s.", origin, given_count, count, listed(names).c_str()));
  std::vector<int> order(names.size());
  for (int index = 0; index < count; ++index) order[static_cast<size_t>(index)] = index;
  // Without a header in training there are no names to go by.
  if (!named || names == default_names(names.size())) return order;
  std::map<std::string, int> places;
  for (int index = 0; index < count; ++index) places[given[index]] = index;
  for (size_t index = 0; index < names.size(); ++index) {
    const auto found = places.find(names[index]);
    if (found != places.end()) {
      order[index] = found->second;
      continue;
    }
    // As many names as are wanted, and one of those is not there: another one is too much.
    std::map<std::string, int> strange = places;
    for (const std::string &name : names) strange.erase(name);
    const char *first = given[0];
    for (int other = count; other-- > 0;)
      if (strange.count(given[other]) > 0) first = given[other];
    throw Failure(format("%s has no channel %s but one called %s: name the columns as in training, or leave the header "
                         "out to match them by position (%s).",
                         origin, in_quotes(names[index]).c_str(), in_quotes(first).c_str(), listed(names).c_str()));
  }
  return order;
}

}  // namespace

std::vector<std::string> default_names(size_t count) {
  std::vector<std::string> names;
  for (size_t index = 0; index < count; ++index) names.push_back(format("channel %zu", index + 1));
  return names;
}

void refuse_value(const std::string &origin, int64_t row, const std::string &channel, int64_t rows) {
  throw Failure(format("%s, row %lld, %s is missing or not finite (%lld such rows): fill or drop them first.",
                       origin.c_str(), static_cast<long long>(row + 1), in_quotes(channel).c_str(),
                       static_cast<long long>(rows)));
}

struct Series::Impl {
  std::string path;
  SeriesData data;
};

SeriesPointer Series::read(const char *path, int channels) noexcept {
  return guarded([&] {
    auto impl = std::make_unique<Impl>(Impl{path, read_series(path)});
    const SeriesData &data = impl->data;
    const int count = static_cast<int>(data.channels.size());
    refuse_gaps(data.values.data(), data.rows, pointers(data.channels).data(), count, path);
    if (channels != 0 && count != channels)
      throw Failure(format("%s has %d channels, %d are needed: give the columns that the model was trained on.", path,
                           count, channels));
    return SeriesPointer(new Series(std::move(impl)));
  });
}

Series::Series(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Series::~Series() = default;

void SeriesDeleter::operator()(Series *series) const noexcept { delete series; }

int64_t Series::rows() const noexcept { return impl_->data.rows; }

int Series::channels() const noexcept { return static_cast<int>(impl_->data.channels.size()); }

float *Series::values() noexcept { return impl_->data.values.data(); }

const float *Series::values() const noexcept { return impl_->data.values.data(); }

const char *Series::channel(int index) const noexcept {
  return impl_->data.channels[static_cast<size_t>(index)].c_str();
}

bool Series::named() const noexcept { return impl_->data.named; }

const char *Series::time(int64_t row) const noexcept {
  const SeriesData &data = impl_->data;
  if (data.label_places.empty()) return nullptr;
  return data.labels.c_str() + data.label_places[static_cast<size_t>(row)];
}

bool Series::put_in_order(const char *const *channels, int count) noexcept {
  return guarded([&] {
    SeriesData &data = impl_->data;
    const auto names = pointers(data.channels);
    const int given = static_cast<int>(names.size());
    const std::vector<int> order = find_order(names.data(), given, data.named, channels, count, impl_->path.c_str());
    std::vector<std::string> wanted(channels, channels + count);
    // Names of a model that was trained without a header say nothing: the file's stay.
    if (wanted == default_names(wanted.size())) return true;
    std::vector<float> row(order.size());
    for (size_t at = 0; at < data.values.size(); at += row.size()) {
      for (size_t place = 0; place < row.size(); ++place)
        row[place] = data.values[at + static_cast<size_t>(order[place])];
      std::copy(row.begin(), row.end(), data.values.begin() + static_cast<std::ptrdiff_t>(at));
    }
    data.channels = std::move(wanted);
    return true;
  });
}

bool check_values(const float *values, int64_t rows, const char *const *channels, int count,
                  const char *origin) noexcept {
  return guarded([&] {
    refuse_gaps(values, rows, channels, count, origin);
    return true;
  });
}

bool channel_order(const char *const *given, int given_count, bool named, const char *const *wanted, int count,
                   const char *origin, int *order) noexcept {
  return guarded([&] {
    const std::vector<int> found = find_order(given, given_count, named, wanted, count, origin);
    std::copy(found.begin(), found.end(), order);
    return true;
  });
}

}  // namespace edgekit
