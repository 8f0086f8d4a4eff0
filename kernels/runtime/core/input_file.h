// A file that is read piece by piece.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace edgekit {

class InputFile {
 public:
  explicit InputFile(const std::string &path);

  const std::string &path() const { return path_; }
  uint64_t size() const { return size_; }
  // Bytes that were read, fewer than `count` at the end only.
  size_t read(void *to, size_t count);

 private:
  std::string path_;
  uint64_t size_;
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> file_;
};

}  // namespace edgekit
