// The task `segment`: an image in; a mask and a list of objects out.
//
// Example. The objects of one image:
//
//     edgekit::SegmentPipelinePointer pipeline = edgekit::SegmentPipeline::open(session.get());
//     if (!pipeline) return fail(edgekit::last_error());
//     edgekit::Segmentation found;
//     if (!pipeline->segment(image, {480, 640}, &found)) return fail(edgekit::last_error());
//     for (int index = 0; index < found.object_count(); ++index) report(found.objects()[index].box);
//
// Errors and threads as in session.h. A pipeline takes one call at a time, as its session does. A Segmentation that is
// filled again uses its memory again.
#ifndef EDGEKIT_SEGMENT_H
#define EDGEKIT_SEGMENT_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "edgekit/images.h"
#include "edgekit/session.h"

namespace edgekit {

// One object. Rows and columns count from 0 at the top left; a pixel's centre is at a whole number.
struct SegmentedObject {
  double centroid[2];  // row, column: the mean over its pixels
  int box[4];          // top, left, bottom, right, the last two not included
  int64_t area;        // its pixels
  float peak;          // its highest logit
  int peak_at[2];      // row, column of that, the first where there are several
};

enum class Order : uint8_t { peak, area };

// The 8-connected components of logits above a threshold, the highest peak or the largest area first.
EDGEKIT_RUNTIME_API ArrayPointer<SegmentedObject> find_objects(const float *logits, ImageSize size, double threshold,
                                                               Order order, size_t *count) noexcept;

// How an image comes to a frame size. `resize`: linear there, and the answer back by nearest. `pad`: it lies at the
// frame's top left, its last row and column repeated to fill it. `tile`: tiles that overlap, exact where the answer
// depends on a neighbourhood only.
enum class Fit : uint8_t { resize, pad, tile };

// The fit of a name: "resize", "pad" or "tile".
EDGEKIT_RUNTIME_API bool find_fit(const char *name, Fit *fit) noexcept;

// One output of the program, at the size that it saw.
struct Map {
  const char *name;
  ImageSize size;
  const float *values;
};

// What was found in one image. Pointers are valid until the next call that fills it.
class EDGEKIT_RUNTIME_API Segmentation {
 public:
  Segmentation() noexcept;
  Segmentation(Segmentation &&other) noexcept;
  Segmentation &operator=(Segmentation &&other) noexcept;
  ~Segmentation();

  ImageSize size() const noexcept;  // the image's
  const uint8_t *mask() const noexcept;  // 1 on an object, else 0
  const float *logits() const noexcept;  // where the image was resized, the nearest of the frame's
  int object_count() const noexcept;
  const SegmentedObject *objects() const noexcept;  // the highest peak first
  int map_count() const noexcept;
  Map map(int index) const noexcept;
  const char *method() const noexcept;  // the method that ran
  double program_seconds() const noexcept;  // of the time that it took, what went to the program

 private:
  friend class SegmentPipeline;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class SegmentPipeline;
struct SegmentPipelineDeleter {
  EDGEKIT_RUNTIME_API void operator()(SegmentPipeline *pipeline) const noexcept;
};
using SegmentPipelinePointer = std::unique_ptr<SegmentPipeline, SegmentPipelineDeleter>;

class EDGEKIT_RUNTIME_API SegmentPipeline {
 public:
  // On top of a session of a bundle for this task, which must outlive it.
  static SegmentPipelinePointer open(Session *session) noexcept;

  // Frame sizes that the program has.
  int size_count() const noexcept;
  ImageSize size(int index) const noexcept;

  // An object is where a logit is above it; at first the bundle's own.
  double threshold() const noexcept;
  void set_threshold(double threshold) noexcept;

  // Finds the objects of one image. `frame` is one of the sizes; null for the image's own if there is one, else the one
  // that suits it best. After a failure `found` is empty.
  bool segment(const float *image, ImageSize size, Segmentation *found, Fit fit = Fit::resize,
               const ImageSize *frame = nullptr) noexcept;

  SegmentPipeline(const SegmentPipeline &) = delete;
  SegmentPipeline &operator=(const SegmentPipeline &) = delete;

 private:
  friend struct SegmentPipelineDeleter;
  struct Impl;
  explicit SegmentPipeline(std::unique_ptr<Impl> impl) noexcept;
  ~SegmentPipeline();
  std::unique_ptr<Impl> impl_;
};

// How large draw_overlay's picture of an image is: a whole number of times the image.
EDGEKIT_RUNTIME_API ImageSize overlay_size(ImageSize size) noexcept;

// An image with what was found in it: red outlines of the mask, yellow boxes of the first objects, green outlines of
// what is labelled (may be null). `pixels` has 3 bytes a pixel of overlay_size.
EDGEKIT_RUNTIME_API bool draw_overlay(const float *image, ImageSize size, const uint8_t *mask,
                                      const SegmentedObject *objects, int object_count, const uint8_t *labelled,
                                      uint8_t *pixels) noexcept;

}  // namespace edgekit

#endif  // EDGEKIT_SEGMENT_H
