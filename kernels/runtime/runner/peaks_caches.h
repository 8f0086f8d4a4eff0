// The data caches that Linux knows of.
#pragma once

#include <vector>

namespace edgekit {

// A data cache of the first core; `cores` share it.
struct Cache {
  int level;
  int kb;
  int cores;
};

// By level, the smallest first; empty where Linux does not say (some boards, emulators).
std::vector<Cache> data_caches();

}  // namespace edgekit
