// Temperature, clocks and throttling, as Linux tells of them in sysfs.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"

namespace edgekit {

// What is below `root`, "" for the machine's own. Files that are not there, or cannot be read, leave their part empty.
//
//   temperature_c    by thermal zone: devices' "cpu-thermal" and so on
//   clock_mhz        by core, now; max_clock_mhz: that it can have
//   throttle_counts  how often a core or its package was slowed down (x86); on a Raspberry Pi "get_throttled", the
//                    firmware's bits: 0 undervoltage, 1 frequency capped, 2 throttled, 3 soft temperature limit
Json read_telemetry(const std::string &root = "");

// Whether the machine was slowed down between two samples; nothing where it does not tell.
std::optional<bool> was_throttled(const Json &before, const Json &after);

}  // namespace edgekit
