// Tensors in a file: for each, its size in bytes as int64, then the bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <vector>

// Memory with nothing behind it, so that a sanitizer sees whoever reads or writes too far.
class Buffer {
 public:
  explicit Buffer(size_t size) : size_(size), data_(std::aligned_alloc(64, (size + 64) / 64 * 64)) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  Buffer(Buffer &&other) noexcept : size_(other.size_), data_(other.data_) { other.data_ = nullptr; }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  Buffer &operator=(Buffer &&) = delete;
  ~Buffer() { std::free(data_); }

  template <typename T = void>
  T *as() const {
    return static_cast<T *>(data_);
  }
  size_t size() const { return size_; }

 private:
  size_t size_;
  void *data_;
};

inline std::vector<Buffer> read_tensors(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Buffer> tensors;
  int64_t size;
  while (file.read(reinterpret_cast<char *>(&size), sizeof size)) {
    tensors.emplace_back(static_cast<size_t>(size));
    file.read(tensors.back().as<char>(), size);
  }
  return tensors;
}

inline void write_tensor(std::ofstream &file, const void *data, int64_t size) {
  file.write(reinterpret_cast<const char *>(&size), sizeof size);
  file.write(static_cast<const char *>(data), size);
}
