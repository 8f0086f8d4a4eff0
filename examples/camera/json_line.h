// What was found in a frame, as one line of JSON.
#pragma once

#include <edgekit/segment.h>

#include <cstddef>
#include <string>

#include "frame.h"

// What of a frame's time is known when its line is made, in milliseconds.
struct FrameTimes {
  double queue_wait;  // until the frame was taken from the queue
  double program;     // in the bundle's program
  double end_to_end;  // since its pixels were there
};

// Text in quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const std::string &text);

// With a line feed. `dropped`: frames that were dropped so far.
std::string json_line(const Frame &frame, size_t dropped, const edgekit::Segmentation &found, const FrameTimes &times);
