// numpy's .npy files: the header, checked, and the elements in pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "failure.h"
#include "input_file.h"

namespace edgekit {

class NpyFile {
 public:
  // Reads the header; the file holds at least as many elements as it promises.
  explicit NpyFile(const std::string &path);

  // 'f', 'i', 'u' or 'b' for numbers and booleans of item_size() bytes, else something that is neither.
  char kind() const { return kind_; }
  size_t item_size() const { return item_size_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  int64_t count() const { return count_; }

  // Every element in the order of a contiguous array's places: takes (place, element's bytes in this machine's order).
  void read(const std::function<void(int64_t place, const uint8_t *item)> &take);

  // Such as "float32 (600, 38)".
  std::string description() const;
  Failure damaged() const;

 private:
  void read_type(const std::string &descr);
  void check_size(uint64_t header);

  InputFile file_;
  std::string descr_;
  char kind_ = '?';
  size_t item_size_ = 0;
  bool swapped_ = false, fortran_ = false;
  std::vector<int64_t> shape_;
  int64_t count_ = 1;
};

}  // namespace edgekit
