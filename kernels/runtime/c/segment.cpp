// session_c.h: images.

#include <vector>

#include "call.h"
#include "edgekit/segment.h"

using edgekit::refuse_null;
using edgekit::status_of;

struct edgekit_segmenter {
  edgekit::SegmentPipelinePointer pipeline;
  edgekit::Segmentation found;
  std::vector<edgekit_object> objects;
};

edgekit_session_status edgekit_segmenter_open(edgekit_session *session, edgekit_segmenter **segmenter) {
  if (session == nullptr || segmenter == nullptr) return refuse_null("edgekit_segmenter_open");
  *segmenter = nullptr;
  edgekit::SegmentPipelinePointer opened = edgekit::SegmentPipeline::open(session->session.get());
  if (!opened) return status_of(false);
  return status_of(edgekit::guarded([&] {
    *segmenter = new edgekit_segmenter{std::move(opened), {}, {}};
    return true;
  }));
}

void edgekit_segmenter_close(edgekit_segmenter *segmenter) { delete segmenter; }

edgekit_session_status edgekit_segmenter_set_threshold(edgekit_segmenter *segmenter, double threshold) {
  if (segmenter == nullptr) return refuse_null("edgekit_segmenter_set_threshold");
  segmenter->pipeline->set_threshold(threshold);
  return EDGEKIT_SESSION_OK;
}

edgekit_session_status edgekit_segmenter_run(edgekit_segmenter *segmenter, const float *image, int height, int width,
                                             const char *fit, const edgekit_object **objects, int *object_count,
                                             const uint8_t **mask) {
  if (segmenter == nullptr || image == nullptr) return refuse_null("edgekit_segmenter_run");
  return status_of(edgekit::guarded([&] {
    edgekit::Fit how = edgekit::Fit::resize;
    if (fit != nullptr && !edgekit::find_fit(fit, &how)) return false;
    if (!segmenter->pipeline->segment(image, {height, width}, &segmenter->found, how)) return false;
    const edgekit::Segmentation &found = segmenter->found;
    segmenter->objects.clear();
    for (int index = 0; index < found.object_count(); ++index) {
      const edgekit::SegmentedObject &one = found.objects()[index];
      segmenter->objects.push_back({{one.centroid[0], one.centroid[1]},
                                    {one.box[0], one.box[1], one.box[2], one.box[3]},
                                    one.area,
                                    one.peak,
                                    {one.peak_at[0], one.peak_at[1]}});
    }
    if (objects != nullptr) *objects = segmenter->objects.data();
    if (object_count != nullptr) *object_count = found.object_count();
    if (mask != nullptr) *mask = found.mask();
    return true;
  }));
}
