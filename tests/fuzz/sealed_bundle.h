// Bundles whose hashes are made anew after a part of them was changed: what lies behind the hashes is to be reached.
#pragma once

#include <string>

namespace edgekit::fuzz {

// The manifest with its own hash; the text itself where it is no JSON object.
std::string sealed(const std::string &manifest);

// The manifest with these sizes and hashes of the file `name`, and its own; as above.
std::string sealed_with(const std::string &manifest, const std::string &name, const std::string &content);

}  // namespace edgekit::fuzz
