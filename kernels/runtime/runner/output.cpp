#include "output.h"

#include <cstring>

#include "core/failure.h"
#include "core/files.h"
#include "edgekit/session.h"

namespace edgekit {

bool ends_with(const std::string &path, const char *suffix) {
  const size_t size = std::strlen(suffix);
  return path.size() >= size && path.compare(path.size() - size, size, suffix) == 0;
}

void write_file(const std::string &path, const std::string &content) {
  write_file(path, content.data(), content.size());
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
