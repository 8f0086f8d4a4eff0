#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "edgekit/session.h"

namespace edgekit::fuzz {
namespace {

std::string make_folder() {
  const char *base = std::getenv("TMPDIR");
  std::string path = std::string(base == nullptr ? "/tmp" : base) + "/edgekit-fuzz-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

}  // namespace

std::string path_of(const std::string &name) {
  static const std::string folder = make_folder();
  return folder + "/" + name;
}

std::string write(const std::string &name, const void *data, size_t size) {
  const std::string path = path_of(name);
  const int handle = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (handle < 0 || ::write(handle, data, size) != static_cast<ssize_t>(size)) std::abort();
  close(handle);
  return path;
}

void expect_sentence() {
  const std::string sentence = last_error();
  // What exceptions of libraries say does not end so, and begins with the library's name.
  if (!sentence.empty() && sentence.back() == '.' && sentence.front() != '[') return;
  std::fprintf(stderr, "refused without a sentence: '%s'\n", sentence.c_str());
  std::abort();
}

}  // namespace edgekit::fuzz
