// Series from comma-separated values, and putting their channels in order.

#include "edgekit/series.h"
#include "file.h"

using namespace edgekit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const SeriesPointer series = Series::read(fuzz::write("a.csv", data, size).c_str());
  if (!series) return fuzz::expect_sentence(), 0;
  volatile float value = series->values()[series->rows() * series->channels() - 1];
  value = static_cast<float>(value + (series->time(0) == nullptr ? 0 : *series->time(series->rows() - 1)));
  const char *wanted[] = {"b", "a"};
  if (!series->put_in_order(wanted, 2)) fuzz::expect_sentence();
  return 0;
}
