// One frame on its way through the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "gray.h"

using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

struct Frame {
  int64_t number = 0;  // of all that the source gave, from 0
  std::string name;    // a file's, else ""
  GrayImage image;
  double captured = 0;        // seconds since 1970
  double decode_ms = 0;       // until there were pixels
  Clock::time_point arrived;  // when there were
  Clock::time_point ready;    // when they were brightness, and the frame went to the queue
};
