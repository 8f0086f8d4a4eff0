#include "version.h"

#include <algorithm>
#include <cstdio>

namespace edgekit {

bool is_new_enough(const JsonPart &minimum, const char *name, const std::string &have) {
  if (!minimum.has(name)) return true;
  unsigned found[3] = {}, wanted[3] = {};
  std::sscanf(have.c_str(), "%9u.%9u.%9u", &found[0], &found[1], &found[2]);
  if (std::sscanf(minimum.text(name).c_str(), "%9u.%9u.%9u", &wanted[0], &wanted[1], &wanted[2]) < 1)
    throw minimum.wrong(name);
  return !std::lexicographical_compare(found, found + 3, wanted, wanted + 3);
}

}  // namespace edgekit
