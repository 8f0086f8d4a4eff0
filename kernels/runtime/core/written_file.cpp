// Files that are whole or absent, also when the process is killed while it writes them.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "failure.h"
#include "files.h"

namespace edgekit {
namespace {

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

std::string folder_of(const std::string &path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// A name beside `path` that nothing has yet.
std::string name_beside(const std::string &path) {
  const size_t slash = path.rfind('/'), name = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, name) + "." + path.substr(name) + ".XXXXXX";
}

// A file that is being written: without a name, so that it goes with the process, where the file system can do that.
class Temporary {
 public:
  Temporary(const std::string &path, bool named) : path_(path) {
#ifdef O_TMPFILE
    if (!named) handle_ = open(folder_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
#endif
    if (handle_ < 0) take_name();
  }
  ~Temporary() {
    if (handle_ >= 0) close(handle_);
    if (!name_.empty()) unlink(name_.c_str());
  }
  Temporary(const Temporary &) = delete;
  Temporary &operator=(const Temporary &) = delete;

  bool is_open() const { return handle_ >= 0; }

  bool write_all(const void *data, size_t size) {
    const char *left = static_cast<const char *>(data);
    for (const char *const end = left + size; left < end;) {
      const ssize_t count = write(handle_, left, static_cast<size_t>(end - left));
      if (count > 0) left += count;
      if (count <= 0 && errno != EINTR) return false;
    }
    return fsync(handle_) == 0 && fchmod(handle_, 0644) == 0;
  }

  bool is_named() const { return !name_.empty(); }

  // Takes the place of what is at the path.
  bool take_place() {
    if (name_.empty()) {
      if (link_to(path_)) return true;
      if (errno != EEXIST || !link_beside()) return false;
    }
    if (std::rename(name_.c_str(), path_.c_str()) != 0) return false;
    name_.clear();
    return true;
  }

 private:
  void take_name() {
    name_ = name_beside(path_);
    handle_ = mkstemp(name_.data());
    if (handle_ < 0) name_.clear();
  }

  bool link_to(const std::string &path) {
    const std::string mine = "/proc/self/fd/" + std::to_string(handle_);
    return linkat(AT_FDCWD, mine.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
  }

  // A name for as long as it takes to rename it.
  bool link_beside() {
    std::string name = name_beside(path_);
    const int taken = mkstemp(name.data());
    if (taken < 0) return false;
    close(taken);
    unlink(name.c_str());
    if (!link_to(name)) return false;
    name_ = name;
    return true;
  }

  std::string path_, name_;
  int handle_ = -1;
};

}  // namespace

void make_folders(const std::string &folder) { make_folders_of(folder + "/"); }

void write_file(const std::string &path, const void *data, size_t size) {
  make_folders_of(path);
  {
    Temporary file(path, false);
    if (!file.is_open() || !file.write_all(data, size)) throw unwritable(path);
    if (file.take_place()) return;
    if (file.is_named()) throw unwritable(path);
  }
  // Where there is no /proc a file cannot get its name later.
  Temporary file(path, true);
  if (!file.is_open() || !file.write_all(data, size) || !file.take_place()) throw unwritable(path);
}

}  // namespace edgekit
