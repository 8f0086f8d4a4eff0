// Objects in images, by a bundle with the task `segment`: the session, its pipeline and what they were asked for, in
// one piece. The camera's loop and the ROS node use it.
#pragma once

#include <edgekit/segment.h>
#include <edgekit/session.h>

#include <memory>
#include <optional>
#include <string>

#include "gray.h"

struct FinderSettings {
  std::string bundle;
  std::optional<double> threshold;  // in place of the bundle's own
  std::string fit = "resize";       // or "pad" or "tile" (edgekit/segment.h)
};

class ObjectFinder {
 public:
  // Opens the bundle and loads its methods, so that the first image takes no longer than the others. On failure
  // nothing, and a sentence in `why`.
  static std::unique_ptr<ObjectFinder> open(const FinderSettings &settings, std::string *why);

  // Finds the objects of one image; one call at a time. After a failure, with a sentence in `why`, the next image may
  // be tried.
  bool find(const GrayImage &image, edgekit::Segmentation *found, std::string *why);

 private:
  ObjectFinder() = default;

  edgekit::SessionPointer session_;
  edgekit::SegmentPipelinePointer pipeline_;  // goes before its session
  edgekit::Fit fit_ = edgekit::Fit::resize;
};
