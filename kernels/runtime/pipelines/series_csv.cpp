// Series from comma-separated values. Rows are read in a stream; what a column holds is known at the end only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>

#include "core/csv.h"
#include "core/numbers.h"
#include "core/text.h"
#include "series_data.h"

namespace edgekit {
namespace {

// What tables are known to hold where a value is missing.
constexpr std::string_view kMissing[] = {"",      "#N/A",     "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN",
                                         "-nan",  "1.#IND",   "1.#QNAN",  "<NA>", "N/A",    "NA",       "NULL",
                                         "NaN",   "None",     "n/a",      "nan", "null"};

enum class Kind { number, truth, missing, text };

struct Cell {
  Kind kind;
  float value;
};

Cell read_cell(std::string_view text) {
  if (std::find(std::begin(kMissing), std::end(kMissing), text) != std::end(kMissing))
    return {Kind::missing, std::numeric_limits<float>::quiet_NaN()};
  double number;
  if (to_number(text, number))
    return {std::isnan(number) ? Kind::missing : Kind::number, static_cast<float>(number)};
  if (text == "True" || text == "TRUE" || text == "true") return {Kind::truth, 1};
  if (text == "False" || text == "FALSE" || text == "false") return {Kind::truth, 0};
  return {Kind::text, 0};
}

// What a column has held so far.
struct Column {
  bool numbers = false, truths = false, missing = false, texts = false;
  // The first cell that is not a number.
  int64_t other_row = -1;
  std::string other;

  void add(const Cell &cell, std::string_view text, int64_t row) {
    numbers |= cell.kind == Kind::number;
    truths |= cell.kind == Kind::truth;
    missing |= cell.kind == Kind::missing;
    texts |= cell.kind == Kind::text;
    if (other_row >= 0 || cell.kind == Kind::number || cell.kind == Kind::missing) return;
    other_row = row;
    other = in_quotes(text);
  }
  // True and False are numbers where there is nothing else.
  bool is_numeric() const { return !texts && (!truths || (!numbers && !missing)); }
};

// Rows with a value that is missing or not finite, and the first one.
struct Gaps {
  int64_t rows = 0, row = 0;
  size_t column = 0;

  void add(int64_t at, size_t place) {
    if (rows++ == 0) row = at, column = place;
  }
};

class Table {
 public:
  explicit Table(const std::string &path) : path_(path), rows_(path) {}

  SeriesData read() {
    if (!rows_.next()) throw Failure(path_ + " is empty: give rows of numbers, separated by commas.");
    columns_.resize(rows_.cells());
    row_.resize(rows_.cells());
    data_.named = is_header();
    if (data_.named) {
      read_header();
      if (!rows_.next()) throw Failure(path_ + " has no rows: give rows of numbers below the header.");
    }
    // A comma at the end of every row makes no column below a header.
    const size_t width = columns_.size();
    const bool spare = data_.named && rows_.cells() == width + 1;
    do {
      if (rows_.cells() > width + spare ||
          (rows_.cells() > width && read_cell(rows_.cell(width)).kind != Kind::missing))
        throw rows_.wrong(format("has %zu cells where %zu are expected", rows_.cells(), width));
      add_row();
    } while (rows_.next());
    finish();
    return std::move(data_);
  }

 private:
  // A header has no number at all; of an index column it may lack the name.
  bool is_header() {
    const bool index = rows_.cells() > 1 && rows_.cell(0).empty();
    for (size_t place = index ? 1 : 0; place < rows_.cells(); ++place) {
      double number;
      const std::string_view text = trimmed(rows_.cell(place));
      if (text.empty() || to_number(text, number)) return false;
    }
    unnamed_first_ = index;
    return true;
  }

  // Names that occur again get a number; columns without one are called after their place.
  void read_header() {
    std::vector<std::string> names;
    for (size_t place = 0; place < rows_.cells(); ++place) {
      const std::string_view text = rows_.cell(place);
      check_text(text);
      names.push_back(text.empty() ? format("Unnamed: %zu", place) : std::string(text));
    }
    std::set<std::string> taken(names.begin(), names.end());
    std::map<std::string, int> times;
    for (const std::string &name : names) {
      int &again = times[name];
      std::string unique = name;
      while (again > 0 && !taken.insert(unique = format("%s.%d", name.c_str(), again)).second) ++again;
      ++again;
      data_.channels.push_back(unique);
    }
  }

  void add_row() {
    const int64_t row = data_.rows++;
    const size_t width = columns_.size(), cells = std::min(rows_.cells(), width);
    // Cells that a short row lacks are missing, and not gone through: a wide header may stand above many short rows.
    shortest_ = std::min(shortest_, cells);
    hopeless_ |= cells < width;
    // The first gap, and the first one if the first column holds labels.
    size_t gap = cells, later_gap = cells;
    for (size_t place = 0; place < cells; ++place) {
      const std::string_view text = rows_.cell(place);
      const Cell cell = read_cell(text);
      if (cell.kind == Kind::text) check_text(text);
      columns_[place].add(cell, text, row);
      row_[place] = cell.value;
      hopeless_ |= place > 0 && (cell.kind == Kind::text || !std::isfinite(cell.value));
      if (std::isfinite(cell.value)) continue;
      gap = std::min(gap, place);
      if (place > 0) later_gap = std::min(later_gap, place);
    }
    if (gap < width) gaps_.add(row, gap);
    if (later_gap < width) later_gaps_.add(row, later_gap);
    // A file that will be refused is read on for its sentence alone.
    if (!hopeless_) keep_row();
  }

  void keep_row() {
    std::vector<float> &values = data_.values;
    if (values.capacity() - values.size() < row_.size()) values.reserve(likely_size());
    values.insert(values.end(), row_.begin(), row_.end());
    if (!first_may_be_labels()) {
      std::string().swap(data_.labels);
      std::vector<size_t>().swap(data_.label_places);
      return;
    }
    data_.label_places.push_back(data_.labels.size());
    data_.labels.append(rows_.cell(0)).push_back('\0');
  }

  // Of all values, from the bytes that those so far took; in steps, for the first rows may be unlike the others.
  size_t likely_size() const {
    constexpr size_t kFirstRows = 64, kMostSteps = 4;
    const size_t now = data_.values.size();
    if (now == 0) return kFirstRows * row_.size();
    const double share = static_cast<double>(rows_.size()) / static_cast<double>(rows_.place());
    const double likely = 1.05 * share * static_cast<double>(now);
    return std::min(static_cast<size_t>(likely), kMostSteps * now) + row_.size();
  }

  bool first_may_be_labels() const { return unnamed_first_ || !columns_[0].numbers; }

  void finish() {
    // A column of text and numbers is a channel with a fault in it; one without a name in the header is an index.
    const bool labels = unnamed_first_ || (first_may_be_labels() && !columns_[0].is_numeric());
    const size_t first = labels ? 1 : 0, width = columns_.size(), channels = width - first;
    if (channels == 0) throw Failure(path_ + " has no column of numbers: separate the columns by commas.");
    if (!data_.named) data_.channels = default_names(channels);
    else if (labels) data_.channels.erase(data_.channels.begin());
    for (size_t place = first; place < width; ++place) {
      Column &column = columns_[place];
      column.missing |= place >= shortest_;
      if (column.is_numeric()) continue;
      throw Failure(format("%s, row %lld, %s: %s is not a number: mend or drop the row.", path_.c_str(),
                           static_cast<long long>(column.other_row + 1),
                           in_quotes(data_.channels[place - first]).c_str(), column.other.c_str()));
    }
    const Gaps &gaps = labels ? later_gaps_ : gaps_;
    if (gaps.rows > 0) refuse_value(path_, gaps.row, data_.channels[gaps.column - first], gaps.rows);
    if (!labels) {
      data_.labels.clear();
      data_.label_places.clear();
      return;
    }
    float *values = data_.values.data();
    for (size_t row = 0; row < static_cast<size_t>(data_.rows); ++row)
      std::copy_n(values + row * width + 1, channels, values + row * channels);
    data_.values.resize(static_cast<size_t>(data_.rows) * channels);
  }

  void check_text(std::string_view text) const {
    if (!is_utf8(text)) throw rows_.wrong("is not UTF-8");
  }

  std::string path_;
  CsvRows rows_;
  SeriesData data_;
  std::vector<Column> columns_;
  std::vector<float> row_;
  bool unnamed_first_ = false, hopeless_ = false;
  // Cells of the shortest row.
  size_t shortest_ = SIZE_MAX;
  // Of all columns, and of all but the first.
  Gaps gaps_, later_gaps_;
};

}  // namespace

SeriesData read_csv_series(const std::string &path) { return Table(path).read(); }

}  // namespace edgekit
