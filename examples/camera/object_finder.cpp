#include "object_finder.h"

namespace {

bool fail(std::string *why) {
  *why = edgekit::last_error();
  return false;
}

}  // namespace

std::unique_ptr<ObjectFinder> ObjectFinder::open(const FinderSettings &settings, std::string *why) {
  std::unique_ptr<ObjectFinder> finder(new ObjectFinder());
  finder->session_ = edgekit::Session::open(settings.bundle.c_str());
  if (!finder->session_) return fail(why), nullptr;
  edgekit::Session &session = *finder->session_;
  finder->pipeline_ = edgekit::SegmentPipeline::open(&session);
  if (!finder->pipeline_ || !edgekit::find_fit(settings.fit.c_str(), &finder->fit_)) return fail(why), nullptr;
  for (int index = 0; index < session.method_count(); ++index)
    if (!session.load(session.method(index).name)) return fail(why), nullptr;
  if (settings.threshold) finder->pipeline_->set_threshold(*settings.threshold);
  return finder;
}

bool ObjectFinder::find(const GrayImage &image, edgekit::Segmentation *found, std::string *why) {
  return pipeline_->segment(image.brightness.data(), image.size, found, fit_) || fail(why);
}
