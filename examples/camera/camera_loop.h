// The loop: one thread takes frames from a source, one finds objects, one writes them.
//
//     source -> queue -> ObjectFinder -> queue -> lines and overlays
//
// The first queue is where a source that is faster than the program waits, or drops its oldest frames. The second one
// keeps a slow disk from holding up the program for a frame or two.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "bounded_queue.h"
#include "frame_source.h"
#include "object_finder.h"
#include "times.h"

struct LoopSettings {
  size_t queue = 2;  // frames
  WhenFull when_full = WhenFull::wait;
  std::string overlay_folder;  // "" for no overlays
};

// How a run went.
struct LoopReport {
  int64_t frames = 0;      // whose lines were written
  size_t dropped = 0;      // by a full queue, or in it when the loop was stopped
  int64_t unreadable = 0;  // frames that the source could not give
  int64_t failed = 0;      // frames that the program refused
  int64_t not_drawn = 0;   // overlays that could not be written
  bool is_lost = false;    // the camera gave nothing any more
  bool is_cut = false;     // the lines could not be written
  // In milliseconds. `added` is what is left of a frame's way, from its pixels to its written line, without the wait in
  // the queue and without the program: what the loop adds.
  Times decode, queue_wait, program, added, end_to_end, overlay;
};

class CameraLoop {
 public:
  // Source and finder must outlive it. Lines of JSON go to `lines`, sentences about what went wrong to `messages`.
  CameraLoop(FrameSource &source, ObjectFinder &finder, LoopSettings settings, std::FILE *lines, std::FILE *messages);

  // Until the source is at its end or lost, or stop() was called.
  LoopReport run();
  // From any thread: the frame in work is finished, those in the queue are dropped.
  void stop();

 private:
  struct Result {
    Frame frame;
    edgekit::Segmentation found;
    size_t dropped;
    double queue_wait_ms;
  };

  void capture();
  void find();
  void write();
  bool write_line(const Result &result);
  void draw(const Result &result);
  void say(const Frame &frame, const std::string &why);

  FrameSource &source_;
  ObjectFinder &finder_;
  const LoopSettings settings_;
  std::FILE *const lines_, *const messages_;
  BoundedQueue<Frame> frames_;
  BoundedQueue<Result> results_;
  std::atomic<bool> stopped_{false};
  LoopReport report_;  // each field is one thread's, until run() is done
};
