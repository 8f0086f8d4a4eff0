// Comma-separated values, row by row: quoted cells, any kind of line end, blank lines left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "failure.h"
#include "input_file.h"

namespace edgekit {

class CsvRows {
 public:
  explicit CsvRows(const std::string &path);

  // Goes to the next row that is not blank; false after the last one.
  bool next();
  size_t cells() const { return ends_.size(); }
  // Valid until the next row.
  std::string_view cell(size_t index) const;
  // Bytes of the file so far, and in all.
  uint64_t place() const { return taken_ - (filled_ - at_); }
  uint64_t size() const { return file_.size(); }

  // What is wrong with the row, such as "is not UTF-8".
  Failure wrong(const std::string &what) const;

 private:
  bool read_row();
  bool is_blank() const;
  int character();
  int byte();
  bool refill();
  int quoted_part();
  void add(int c);

  InputFile file_;
  std::vector<char> block_;
  size_t at_ = 0, filled_ = 0;
  uint64_t taken_ = 0;
  // The lines that end before the next character, and where the row begins.
  int64_t line_ = 0, row_line_ = 0;
  bool has_quotes_ = false;
  // The row's cells, one after the other.
  std::string text_;
  std::vector<size_t> ends_;
};

}  // namespace edgekit
