// Counts allocations by the library that asks for them. What the whole process allocates with goes through
// allocations.cpp.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace allocations {

// What was counted while a function ran, by the libraries' file names.
std::map<std::string, long> counted(const std::function<void()> &body);

}  // namespace allocations
