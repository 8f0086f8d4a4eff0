// Where frames come from: a folder of images, a video file, a camera or a stream.
#pragma once

#include <memory>
#include <string>

#include "frame.h"

enum class Arrival {
  frame,
  unreadable,  // this one cannot be read; the next one may be
  end,
  lost,  // a camera or a stream gives nothing any more
};

class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // The next frame, without its number and `ready`. Where there is none, a sentence in `why`, but at the end.
  virtual Arrival next(Frame *frame, std::string *why) = 0;
  // Whether frames come whether they are taken or not.
  virtual bool is_live() const = 0;
};

// Of a camera's number ("0"), an address ("rtsp://..."), a folder or a video file. On failure nothing, and a sentence
// in `why`.
std::unique_ptr<FrameSource> open_source(const std::string &input, std::string *why);
