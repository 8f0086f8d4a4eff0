// A custom operator's name as programs have it: `edgekit.conv2d?activation=0.1&padding=4,4`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace edgekit::litert_binding {

constexpr char kPrefix[] = "edgekit.";

// Whether a custom operator is one of edgekit's.
bool is_ours(const char *custom_code);

class Attributes {
 public:
  // Throws Failure where the name is not written like this.
  explicit Attributes(const std::string &custom_code);

  // The operator, such as "conv2d".
  const std::string &operation() const { return operation_; }
  // Each throws Failure where there is none of the name, or it is of another kind.
  int64_t integer(const char *name) const;
  float number(const char *name) const;
  bool boolean(const char *name) const;
  std::vector<int64_t> integers(const char *name) const;

 private:
  const std::string &text(const char *name) const;
  [[noreturn]] void refuse(const char *name, const char *kind) const;

  std::string code_, operation_;
  std::map<std::string, std::string> values_;
};

}  // namespace edgekit::litert_binding
