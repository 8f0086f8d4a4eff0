#include "npy_file.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "text.h"

namespace edgekit {
namespace {

constexpr char kMagic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
constexpr size_t kLongestHeader = 10000;
constexpr size_t kMostAxes = 32;
constexpr size_t kBlock = 1 << 16;

// The header: a dict of Python with three known keys, and nothing else of Python.
class Header {
 public:
  explicit Header(std::string_view text) : text_(text) {}

  std::string descr;
  bool fortran = false;
  std::vector<int64_t> shape;

  // False where the text is anything else.
  bool read() {
    bool seen[3] = {};
    if (!take('{')) return false;
    while (!take('}')) {
      std::string key;
      if (!string(key) || !take(':')) return false;
      const bool known = key == "descr"           ? once(seen[0]) && type()
                         : key == "fortran_order" ? once(seen[1]) && boolean(fortran)
                         : key == "shape"         ? once(seen[2]) && axes()
                                                  : false;
      if (!known) return false;
      if (!take(',') && next() != '}') return false;
    }
    return seen[0] && seen[1] && seen[2] && next() == '\0' && at_ == text_.size();
  }

 private:
  static bool once(bool &seen) { return !std::exchange(seen, true); }

  // The next character that is no space, '\0' at the end.
  char next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (next() != c) return false;
    ++at_;
    return true;
  }
  bool string(std::string &to) {
    const char mark = next();
    if (mark != '\'' && mark != '"') return false;
    const size_t end = text_.find(mark, at_ + 1);
    if (end == std::string_view::npos) return false;
    to = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return to.find('\\') == std::string::npos;
  }
  // A string, or the list that describes a structure, taken as it stands.
  bool type() {
    if (next() != '[') return string(descr);
    const size_t start = at_;
    int depth = 0;
    do {
      const char c = next();
      std::string skipped;
      if (c == '\0') return false;
      if (c == '\'' || c == '"') {
        if (!string(skipped)) return false;
        continue;
      }
      depth += c == '[' ? 1 : c == ']' ? -1 : 0;
      ++at_;
    } while (depth > 0);
    descr = text_.substr(start, at_ - start);
    return true;
  }
  bool boolean(bool &to) {
    next();
    for (const std::string_view word : {std::string_view("True"), std::string_view("False")})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        to = word == "True";
        return true;
      }
    return false;
  }
  bool axes() {
    if (!take('(')) return false;
    while (!take(')')) {
      int64_t size = 0;
      if (next() < '0' || next() > '9') return false;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
        if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, text_[at_] - '0', &size))
          return false;
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 wrote it
      shape.push_back(size);
      // "(3)" is no tuple.
      if (!take(',') && (next() != ')' || shape.size() == 1)) return false;
    }
    return shape.size() <= kMostAxes;
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool is_little_endian() {
  const uint16_t one = 1;
  uint8_t first;
  std::memcpy(&first, &one, 1);
  return first == 1;
}

}  // namespace

NpyFile::NpyFile(const std::string &path) : file_(path) {
  uint8_t start[12] = {};
  if (file_.read(start, 10) < 10 || std::memcmp(start, kMagic, sizeof kMagic) != 0) throw damaged();
  const int version = start[6];
  if ((version != 1 && version != 2) || start[7] != 0) throw damaged();
  if (version == 2 && file_.read(start + 10, 2) < 2) throw damaged();
  size_t length = start[8] | static_cast<size_t>(start[9]) << 8;
  if (version == 2) length |= static_cast<size_t>(start[10]) << 16 | static_cast<size_t>(start[11]) << 24;
  if (length > kLongestHeader) throw damaged();
  std::string text(length, '\0');
  Header header(text);
  if (file_.read(text.data(), length) < length || !header.read()) throw damaged();
  shape_ = header.shape;
  fortran_ = header.fortran;
  read_type(header.descr);
  check_size((version == 1 ? 10 : 12) + length);
}

void NpyFile::read_type(const std::string &descr) {
  if (!is_utf8(descr) || descr.find('O') != std::string::npos) throw damaged();
  descr_ = descr;
  const bool simple = descr.size() == 3 && std::strchr("<>|=", descr[0]) != nullptr;
  const size_t size = simple && descr[2] >= '1' && descr[2] <= '8' ? static_cast<size_t>(descr[2] - '0') : 0;
  const bool known = size == 1 || size == 2 || size == 4 || size == 8;
  const char kind = simple ? descr[1] : '?';
  if (!known || !(kind == 'f' ? size >= 2 : kind == 'b' ? size == 1 : kind == 'i' || kind == 'u')) return;
  kind_ = kind;
  item_size_ = size;
  swapped_ = size > 1 && (descr[0] == '<' || descr[0] == '>') && (descr[0] == '<') != is_little_endian();
  const char *names = kind == 'f' ? "float" : kind == 'i' ? "int" : "uint";
  descr_ = kind == 'b' ? "bool" : format("%s%zu", names, 8 * size);
}

// Before memory is taken. Of other elements the size is not known: they are refused anyway.
void NpyFile::check_size(uint64_t header) {
  const bool empty = std::find(shape_.begin(), shape_.end(), 0) != shape_.end();
  for (const int64_t size : shape_)
    if (empty) count_ = 0;
    else if (__builtin_mul_overflow(count_, size, &count_)) throw damaged();
  int64_t bytes;
  if (__builtin_mul_overflow(count_, static_cast<int64_t>(item_size_), &bytes) || file_.size() < header ||
      file_.size() - header < static_cast<uint64_t>(bytes))
    throw damaged();
}

void NpyFile::read(const std::function<void(int64_t, const uint8_t *)> &take) {
  std::vector<uint8_t> block(kBlock);
  const auto per_block = static_cast<int64_t>(kBlock / item_size_);
  // In Fortran's order the first index runs fastest: it is counted up together with the place.
  std::vector<int64_t> index(shape_.size()), stride(shape_.size());
  int64_t step = 1;
  for (size_t axis = shape_.size(); axis-- > 0; step *= shape_[axis]) stride[axis] = step;
  int64_t place = 0;
  for (int64_t done = 0; done < count_;) {
    const int64_t here = std::min(per_block, count_ - done);
    const size_t bytes = static_cast<size_t>(here) * item_size_;
    if (file_.read(block.data(), bytes) < bytes) throw damaged();
    for (int64_t item = 0; item < here; ++item) {
      uint8_t *data = block.data() + static_cast<size_t>(item) * item_size_;
      if (swapped_) std::reverse(data, data + item_size_);
      take(fortran_ ? place : done + item, data);
      if (!fortran_) continue;
      for (size_t axis = 0; axis < index.size(); ++axis) {
        place += stride[axis];
        if (++index[axis] < shape_[axis]) break;
        place -= stride[axis] * shape_[axis];
        index[axis] = 0;
      }
    }
    done += here;
  }
}

std::string NpyFile::description() const {
  std::string sizes;
  for (const int64_t size : shape_)
    sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
  return descr_ + " (" + sizes + (shape_.size() == 1 ? ",)" : ")");
}

Failure NpyFile::damaged() const {
  return Failure(file_.path() + " is not a numpy array file (or holds objects, or is cut short).");
}

}  // namespace edgekit
