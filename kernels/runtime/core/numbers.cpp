#include "numbers.h"

#include <charconv>
#include <cstdint>
#include <limits>

namespace edgekit {
namespace {

constexpr std::string_view kSpaces = " \t\n\v\f\r";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether a decimal number is above 1: all that is asked of one that float64 cannot hold.
bool is_large(std::string_view text) {
  // Digits before the point from the first that is not 0 on; negative for zeros that follow the point.
  int64_t digits = 0;
  bool point = false, begun = false;
  size_t at = 0;
  for (; at < text.size() && (is_digit(text[at]) || text[at] == '.'); ++at) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    begun = begun || text[at] != '0';
    if (begun && !point) ++digits;
    if (!begun && point) --digits;
  }
  int64_t exponent = 0;
  bool negative = false;
  if (at < text.size()) ++at;  // e
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) negative = text[at++] == '-';
  for (; at < text.size(); ++at)
    if (exponent < INT64_MAX / 100) exponent = exponent * 10 + (text[at] - '0');
  return digits + (negative ? -exponent : exponent) > 0;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) + 1 - first);
}

bool to_number(std::string_view text, double &number) {
  text = trimmed(text);
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  // from_chars takes a minus sign, so "+-1" must be caught here; "nan(...)" is C's, not a number in a file.
  if (text.empty() || text.front() == '-' || text.back() == ')') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return false;
  if (error == std::errc::result_out_of_range)
    number = is_large(text) ? std::numeric_limits<double>::infinity() : 0.0;
  if (negative) number = -number;
  return true;
}

}  // namespace edgekit
