// Text from files, as it is shown in a sentence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace edgekit {

bool is_utf8(std::string_view text);

// In quotation marks as Python shows it, on one line; long text is cut.
std::string in_quotes(std::string_view text);

// A file's name as it is shown: control characters, which a terminal would obey, and what is no UTF-8 as in a
// string of Python.
std::string on_one_line(std::string_view name);

// The first few, separated by commas.
std::string listed(const std::vector<std::string> &names);

}  // namespace edgekit
