// Reading JSON that may be damaged: every complaint names the file and the field.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "failure.h"

namespace edgekit {

using Json = nlohmann::json;

// Whether a text nests deeper than any file of ours, outside of its strings. The parser takes any depth, but copying,
// writing and comparing what it gave call themselves for each level.
inline bool nests_too_deep(const std::string &text) {
  constexpr int kDeepest = 64;
  int depth = 0;
  bool in_string = false;
  for (size_t place = 0; place < text.size(); ++place) {
    const char c = text[place];
    if (in_string) {
      if (c == '\\') ++place;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if ((c == '[' || c == '{') && ++depth > kDeepest) {
      return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// The text's value; discarded where it is no JSON, or nests too deep.
inline Json parse_json(const std::string &text) {
  return nests_too_deep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

// A part of a JSON file that remembers which file it is.
class JsonPart {
 public:
  JsonPart(const Json &value, std::string file) : value_(value), file_(std::move(file)) {}

  const Json &value() const { return value_; }
  const std::string &file() const { return file_; }

  bool has(const char *name) const { return value_.is_object() && value_.contains(name) && !value_[name].is_null(); }
  JsonPart part(const char *name) const { return {checked(name, nullptr), file_}; }
  // An array's parts.
  std::vector<JsonPart> parts(const char *name) const {
    const Json &array = checked(name, &Json::is_array);
    std::vector<JsonPart> found;
    for (const Json &item : array) found.emplace_back(item, file_);
    return found;
  }
  std::string text(const char *name) const { return checked(name, &Json::is_string).get<std::string>(); }
  int64_t integer(const char *name, int64_t least = INT64_MIN) const {
    const int64_t number = checked(name, &Json::is_number_integer).get<int64_t>();
    if (number < least) throw wrong(name);
    return number;
  }
  double number(const char *name) const { return checked(name, &Json::is_number).get<double>(); }
  std::vector<std::string> texts(const char *name) const { return all<std::string>(name, &Json::is_string); }
  std::vector<int64_t> integers(const char *name) const { return all<int64_t>(name, &Json::is_number_integer); }
  std::vector<float> floats(const char *name) const { return all<float>(name, &Json::is_number); }

  Failure wrong(const char *name) const {
    return Failure(format("%s has no valid field '%s': export the bundle again.", file_.c_str(), name));
  }

 private:
  const Json &checked(const char *name, bool (Json::*is)() const noexcept) const {
    if (!value_.is_object()) throw wrong(name);
    const auto found = value_.find(name);
    if (found == value_.end() || (is != nullptr && !((*found).*is)())) throw wrong(name);
    return *found;
  }
  template <typename T>
  std::vector<T> all(const char *name, bool (Json::*is)() const noexcept) const {
    std::vector<T> values;
    for (const Json &item : checked(name, &Json::is_array)) {
      if (!(item.*is)()) throw wrong(name);
      values.push_back(item.get<T>());
    }
    return values;
  }

  const Json &value_;
  std::string file_;
};

}  // namespace edgekit
