// Versions, such as "1.5.1".
#pragma once

#include <string>

#include "json.h"

namespace edgekit {

// Whether `have` is at least the version that `minimum` has under `name`; true where it has none. Parts that a version
// does not name are 0. Throws Failure where what stands there is no version.
bool is_new_enough(const JsonPart &minimum, const char *name, const std::string &have);

}  // namespace edgekit
