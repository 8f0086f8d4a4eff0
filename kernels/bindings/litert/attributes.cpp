#include "attributes.h"

#include <charconv>
#include <cstring>

#include "failure.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kAgain[] = "export the program again with the edgekit that this library came with";

// The parts of a text between separators.
std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

template <typename Number>
bool parse(const std::string &text, Number &number) {
  const char *end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

bool is_ours(const char *custom_code) {
  return custom_code != nullptr && std::strncmp(custom_code, kPrefix, sizeof kPrefix - 1) == 0;
}

Attributes::Attributes(const std::string &custom_code) : code_(custom_code) {
  const size_t question = std::min(code_.find('?'), code_.size());
  operation_ = code_.substr(sizeof kPrefix - 1, question - (sizeof kPrefix - 1));
  if (question == code_.size()) return;
  for (const std::string &part : split(code_.substr(question + 1), '&')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0)
      throw failure("%s: '%s' is no attribute: %s.", code_.c_str(), part.c_str(), kAgain);
    values_[part.substr(0, equals)] = part.substr(equals + 1);
  }
}

const std::string &Attributes::text(const char *name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw failure("%s lacks the attribute %s: %s.", code_.c_str(), name, kAgain);
  return found->second;
}

void Attributes::refuse(const char *name, const char *kind) const {
  throw failure("%s: %s is '%s', it must be %s: %s.", code_.c_str(), name, text(name).c_str(), kind, kAgain);
}

int64_t Attributes::integer(const char *name) const {
  int64_t value = 0;
  if (!parse(text(name), value)) refuse(name, "a whole number");
  return value;
}

float Attributes::number(const char *name) const {
  double value = 0;  // as torch has it; the operators round it likewise
  if (!parse(text(name), value)) refuse(name, "a number");
  return static_cast<float>(value);
}

bool Attributes::boolean(const char *name) const {
  const std::string &value = text(name);
  if (value != "true" && value != "false") refuse(name, "true or false");
  return value == "true";
}

std::vector<int64_t> Attributes::integers(const char *name) const {
  std::vector<int64_t> values;
  for (const std::string &part : split(text(name), ',')) {
    values.push_back(0);
    if (!parse(part, values.back())) refuse(name, "whole numbers");
  }
  return values;
}

}  // namespace edgekit::litert_binding
