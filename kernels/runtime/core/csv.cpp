#include "csv.h"

namespace edgekit {
namespace {

constexpr size_t kBlock = 1 << 16;
constexpr size_t kLongestRow = 1 << 24;
constexpr size_t kMostCells = 1 << 16;

}  // namespace

CsvRows::CsvRows(const std::string &path) : file_(path), block_(kBlock) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  refill();
  if (std::string_view(block_.data(), filled_).substr(0, 3) == kByteOrderMark) at_ = 3;
}

bool CsvRows::next() {
  do {
    if (!read_row()) return false;
  } while (is_blank());
  return true;
}

std::string_view CsvRows::cell(size_t index) const {
  const size_t start = index == 0 ? 0 : ends_[index - 1];
  return std::string_view(text_).substr(start, ends_[index] - start);
}

Failure CsvRows::wrong(const std::string &what) const {
  return Failure(format("%s cannot be read as comma-separated values: line %lld %s.", file_.path().c_str(),
                        static_cast<long long>(row_line_ + 1), what.c_str()));
}

bool CsvRows::read_row() {
  text_.clear();
  ends_.clear();
  has_quotes_ = false;
  row_line_ = line_;
  int c = character();
  if (c < 0) return false;
  for (;;) {
    while (c == ' ') c = character();
    if (c == '"') c = quoted_part();
    for (; c >= 0 && c != ',' && c != '\n'; c = character()) add(c);
    if (ends_.size() == kMostCells) throw wrong(format("has more than %zu cells", kMostCells));
    ends_.push_back(text_.size());
    if (c != ',') return true;
    c = character();
  }
}

bool CsvRows::is_blank() const {
  return ends_.size() == 1 && !has_quotes_ && text_.find_first_not_of(" \t") == std::string::npos;
}

// Takes what stands between quotation marks; gives the character behind them.
int CsvRows::quoted_part() {
  has_quotes_ = true;
  for (;;) {
    int c = byte();
    if (c < 0) throw wrong("opens a quotation mark that is not closed");
    if (c == '"') {
      c = character();
      if (c != '"') return c;
    }
    add(c);
  }
}

void CsvRows::add(int c) {
  if (c == 0) throw wrong("holds a null byte");
  if (text_.size() == kLongestRow) throw wrong(format("is longer than %zu MiB", kLongestRow >> 20));
  text_ += static_cast<char>(c);
}

bool CsvRows::refill() {
  filled_ = file_.read(block_.data(), block_.size());
  at_ = 0;
  taken_ += filled_;
  return filled_ > 0;
}

// With "\r" and "\r\n" as "\n".
int CsvRows::character() {
  const int c = byte();
  if (c != '\r') return c;
  if (byte() != '\n') {
    if (filled_ > 0) --at_;
    ++line_;
  }
  return '\n';
}

int CsvRows::byte() {
  if (at_ == filled_ && !refill()) return -1;
  const char c = block_[at_++];
  if (c == '\n') ++line_;
  return static_cast<unsigned char>(c);
}

}  // namespace edgekit
