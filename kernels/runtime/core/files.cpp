#include "files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "failure.h"
#include "sha256.h"

namespace edgekit {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

File open(const std::string &path) {
  File file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw Failure(format("%s cannot be read (%s): check the path.", path.c_str(), std::strerror(errno)));
  return file;
}

template <typename Take>
void read(const std::string &path, const Take &take) {
  const File file = open(path);
  std::vector<char> block(1 << 18);
  while (const size_t count = std::fread(block.data(), 1, block.size(), file.get())) take(block.data(), count);
  if (std::ferror(file.get())) throw Failure(format("%s cannot be read to its end: copy it again.", path.c_str()));
}

}  // namespace

bool is_file(const std::string &path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode);
}

bool is_folder(const std::string &path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

bool is_link(const std::string &path) {
  struct stat found;
  return lstat(path.c_str(), &found) == 0 && S_ISLNK(found.st_mode);
}

uint64_t file_size(const std::string &path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 ? static_cast<uint64_t>(found.st_size) : 0;
}

std::string read_file(const std::string &path, uint64_t most) {
  std::string content;
  content.reserve(std::min(file_size(path), most));
  read(path, [&](const char *data, size_t count) {
    if (content.size() + count > most)
      throw Failure(format("%s is larger than %llu bytes: it is not what it should be.", path.c_str(),
                           static_cast<unsigned long long>(most)));
    content.append(data, count);
  });
  return content;
}

std::string sha256_of(const std::string &path) {
  Sha256 digest;
  read(path, [&](const char *data, size_t count) { digest.add(data, count); });
  return digest.hex();
}

}  // namespace edgekit
