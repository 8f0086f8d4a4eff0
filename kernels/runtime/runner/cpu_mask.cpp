#include "cpu_mask.h"

#include <cctype>

#include "core/failure.h"

namespace edgekit {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

}  // namespace

std::vector<int> cores_of_mask(const std::string &mask) {
  const bool has_prefix = mask.size() > 2 && mask[0] == '0' && (mask[1] == 'x' || mask[1] == 'X');
  const std::string digits = mask.substr(has_prefix ? 2 : 0);
  std::vector<int> cores;
  bool valid = !digits.empty();
  for (size_t place = 0; place < digits.size() && valid; ++place) {
    const char digit = digits[digits.size() - 1 - place];
    valid = std::isxdigit(static_cast<unsigned char>(digit)) != 0;
    const int value = std::isdigit(static_cast<unsigned char>(digit)) ? digit - '0' : 10 + (digit | 32) - 'a';
    for (int bit = 0; valid && bit < 4; ++bit)
      if ((value >> bit & 1) != 0) cores.push_back(4 * static_cast<int>(place) + bit);
  }
  if (!valid || cores.empty())
    throw UsageFailure(format("--cpu-mask %s: give cores in hexadecimal, a bit for each, such as 3 for the first two.",
                              mask.c_str()));
  return cores;
}

std::string mask_of_cores(const std::vector<int> &cores) {
  std::string digits(cores.empty() ? 1 : static_cast<size_t>(cores.back()) / 4 + 1, '0');
  for (const int core : cores) {
    char &digit = digits[digits.size() - 1 - static_cast<size_t>(core) / 4];
    const int value = (digit <= '9' ? digit - '0' : 10 + digit - 'a') | 1 << core % 4;
    digit = kDigits[value];
  }
  return digits;
}

}  // namespace edgekit
