#include "sealed_bundle.h"

#include "core/json.h"
#include "core/sha256.h"

namespace edgekit::fuzz {
namespace {

std::string hash_of(const std::string &text) {
  Sha256 digest;
  digest.add(text.data(), text.size());
  return digest.hex();
}

// As manifest.py spells it: sorted, two spaces, and a hash of the text without the hash's line.
std::string spelled(Json &fields) {
  fields.erase("sha256");
  const auto spell = [&] { return fields.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; };
  const std::string digest = hash_of(spell());
  fields["sha256"] = digest;
  return spell();
}

}  // namespace

std::string sealed(const std::string &manifest) {
  Json fields = parse_json(manifest);
  return fields.is_object() ? spelled(fields) : manifest;
}

std::string sealed_with(const std::string &manifest, const std::string &name, const std::string &content) {
  Json fields = parse_json(manifest);
  if (!fields.is_object()) return manifest;
  Json &files = fields["files"];
  if (files.is_object() && files.contains(name) && files[name].is_object()) {
    files[name]["sha256"] = hash_of(content);
    files[name]["bytes"] = content.size();
  }
  return spelled(fields);
}

}  // namespace edgekit::fuzz
