// Times as they are printed.
#pragma once

#include <cmath>

namespace edgekit {

// Milliseconds, to a nanosecond: JSON would show seventeen digits.
inline double rounded(double milliseconds) { return std::round(1e6 * milliseconds) / 1e6; }

}  // namespace edgekit
