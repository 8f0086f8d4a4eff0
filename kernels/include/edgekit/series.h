// Time series from files: rows of sensor readings, checked before anything is computed from them.
//
// Example. A series with a bundle's channels, whatever their order in the file:
//
//     edgekit::SeriesPointer series = edgekit::Series::read("pump.csv");
//     if (!series || !series->put_in_order(names, count)) return fail(edgekit::last_error());
//     use(series->values(), series->rows(), series->channels());
//
// `.csv` and `.txt` files are UTF-8 text separated by commas. A first row without any number is the header; a first
// column without any number, or without a name in the header, labels the rows (a timestamp, an index). `.npy` files
// hold numbers of shape (rows, channels), or (rows) for one channel.
#ifndef EDGEKIT_SERIES_H
#define EDGEKIT_SERIES_H

#include "edgekit/session.h"

namespace edgekit {

// Bytes of the largest file that is read.
constexpr uint64_t kLargestSeries = uint64_t{4} << 30;

class Series;
struct SeriesDeleter {
  EDGEKIT_RUNTIME_API void operator()(Series *series) const noexcept;
};
using SeriesPointer = std::unique_ptr<Series, SeriesDeleter>;

class EDGEKIT_RUNTIME_API Series {
 public:
  // `channels` is the number of channels that the file must have, 0 if any will do.
  static SeriesPointer read(const char *path, int channels = 0) noexcept;

  int64_t rows() const noexcept;
  int channels() const noexcept;
  // (rows, channels), finite.
  float *values() noexcept;
  const float *values() const noexcept;
  // From the header where there is one, else "channel 1" and so on.
  const char *channel(int index) const noexcept;
  // Whether the channels' names come from a header.
  bool named() const noexcept;
  // A row's label as it stands in the file, nullptr if rows have none.
  const char *time(int64_t row) const noexcept;

  // Makes the channels exactly these: by name where both have names, else by position.
  bool put_in_order(const char *const *channels, int count) noexcept;

  Series(const Series &) = delete;
  Series &operator=(const Series &) = delete;

 private:
  friend struct SeriesDeleter;
  struct Impl;
  explicit Series(std::unique_ptr<Impl> impl) noexcept;
  ~Series();
  std::unique_ptr<Impl> impl_;
};

// The same rules for readings that come from elsewhere; `origin` begins the sentence when they do not fit.

// Fails at the first value of (rows, count) that is missing or infinite, naming its row and channel.
EDGEKIT_RUNTIME_API bool check_values(const float *values, int64_t rows, const char *const *channels, int count,
                                      const char *origin) noexcept;
// Which of the `given` columns is each of the `wanted` channels: `count` indices. `named`: whether the given names come
// from a header.
EDGEKIT_RUNTIME_API bool channel_order(const char *const *given, int given_count, bool named, const char *const *wanted,
                                       int count, const char *origin, int *order) noexcept;

}  // namespace edgekit

#endif  // EDGEKIT_SERIES_H
