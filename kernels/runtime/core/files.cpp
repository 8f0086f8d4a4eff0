#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

// The reason is in errno.
Failure unwritable(const std::string &path) {
  const int reason = errno;
  const char *remedy = std::strerror(reason);
  if (reason == ENOSPC || reason == EDQUOT) remedy = "the disk is full; free some space or choose another folder";
  if (reason == EACCES || reason == EPERM || reason == EROFS)
    remedy = "no permission to write there; choose another folder";
  return Failure(format("cannot write %s: %s.", path.c_str(), remedy));
}

void make_folders_of(const std::string &path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST && errno != EISDIR && errno != EROFS)
      throw unwritable(path);
}

}  // namespace

void make_folders(const std::string &folder) { make_folders_of(folder + "/"); }

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

void write_file(const std::string &path, const void *data, size_t size) {
  make_folders_of(path);
  const size_t slash = path.rfind('/'), name = slash == std::string::npos ? 0 : slash + 1;
  std::string temporary = path.substr(0, name) + "." + path.substr(name) + ".XXXXXX";
  const int handle = mkstemp(temporary.data());
  if (handle < 0) throw unwritable(path);
  const char *left = static_cast<const char *>(data);
  bool done = true;
  for (const char *const end = left + size; done && left < end;) {
    const ssize_t count = write(handle, left, static_cast<size_t>(end - left));
    if (count > 0) left += count;
    done = count > 0 || errno == EINTR;
  }
  done = done && fsync(handle) == 0 && fchmod(handle, 0644) == 0;
  int error = errno;
  if (close(handle) != 0 && done) {
    done = false;
    error = errno;
  }
  if (done && std::rename(temporary.c_str(), path.c_str()) == 0) return;
  if (done) error = errno;
  unlink(temporary.c_str());
  errno = error;
  throw unwritable(path);
}

std::string sha256_of(const std::string &path) {
  Sha256 digest;
  read(path, [&](const char *data, size_t count) { digest.add(data, count); });
  return digest.hex();
}

}  // namespace edgekit
