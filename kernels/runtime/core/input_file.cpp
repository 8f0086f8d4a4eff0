#include "input_file.h"

#include <cerrno>
#include <cstring>

#include "failure.h"
#include "files.h"

namespace edgekit {

InputFile::InputFile(const std::string &path)
    : path_(path), size_(file_size(path)), file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
  if (!file_) throw Failure(format("%s cannot be read (%s): check the path.", path.c_str(), std::strerror(errno)));
}

size_t InputFile::read(void *to, size_t count) {
  const size_t taken = std::fread(to, 1, count, file_.get());
  if (taken < count && std::ferror(file_.get()))
    throw Failure(format("%s cannot be read to its end: copy it again.", path_.c_str()));
  return taken;
}

}  // namespace edgekit
