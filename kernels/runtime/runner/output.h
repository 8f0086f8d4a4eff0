// Files that the runner writes, whole or not at all.
#pragma once

#include <string>

#include "request.h"

namespace edgekit {

// Whether a path ends so, such as ".csv".
bool ends_with(const std::string &path, const char *suffix);

void write_file(const std::string &path, const std::string &content);

// A cell of a CSV file, in quotes where that is needed.
std::string csv_cell(const std::string &text);

// Throws the library's last error.
[[noreturn]] void fail_as_said();

}  // namespace edgekit
