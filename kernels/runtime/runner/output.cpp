#include "output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/failure.h"
#include "edgekit/session.h"

namespace edgekit {

bool ends_with(const std::string &path, const char *suffix) {
  const size_t size = std::strlen(suffix);
  return path.size() >= size && path.compare(path.size() - size, size, suffix) == 0;
}

void write_file(const std::string &path, const std::string &content) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".partial";
  std::FILE *file = std::fopen(temporary.c_str(), "wb");
  bool done = file != nullptr && std::fwrite(content.data(), 1, content.size(), file) == content.size();
  if (file != nullptr) done = std::fclose(file) == 0 && done;
  if (!done || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    throw Failure(format("%s cannot be written (%s): choose another file.", path.c_str(), reason.c_str()));
  }
}

std::string csv_cell(const std::string &text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char letter : text) quoted += letter == '"' ? std::string("\"\"") : std::string(1, letter);
  return quoted + "\"";
}

void fail_as_said() {
  if (last_error_is_usage()) throw UsageFailure(last_error());
  throw Failure(last_error());
}

}  // namespace edgekit
