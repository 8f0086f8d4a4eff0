// Cores as a number in hexadecimal, a bit for each, as taskset and Linux's files have them.
#pragma once

#include <string>
#include <vector>

namespace edgekit {

// The cores of a mask, such as 0 and 2 of "5" or "0x5"; throws UsageFailure where it is none.
std::vector<int> cores_of_mask(const std::string &mask);

// The mask of cores in ascending order: "5".
std::string mask_of_cores(const std::vector<int> &cores);

}  // namespace edgekit
