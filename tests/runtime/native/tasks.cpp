// The tasks `segment` and `detect_anomalies`, once each.

#include <algorithm>
#include <memory>

#include "cases.h"
#include "edgekit/detect_anomalies.h"
#include "edgekit/segment.h"

// Inputs: height and width as int32, the image. The logits and the mask.
void run_segment(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  const edgekit::SegmentPipelinePointer pipeline = edgekit::SegmentPipeline::open(session.get());
  must(pipeline != nullptr, "SegmentPipeline::open");
  const int *size = all.inputs[0].as<int>();
  const edgekit::ImageSize image{size[0], size[1]};
  edgekit::Segmentation found;
  for (const edgekit::Fit fit : {edgekit::Fit::resize, edgekit::Fit::tile})
    must(pipeline->segment(all.inputs[1].as<float>(), image, &found, fit), "segment");
  const size_t pixels = static_cast<size_t>(image.height) * static_cast<size_t>(image.width);
  all.give(found.logits(), 4 * pixels);
  all.give(found.mask(), pixels);
}

// Input: readings. Scores of all rows at once, row by row, and by rows that come together.
void run_anomalies(Case &all) {
  const edgekit::SessionPointer session = open(all.bundles[0]);
  const edgekit::AnomalyPipelinePointer pipeline = edgekit::AnomalyPipeline::make(session.get());
  must(pipeline != nullptr, "AnomalyPipeline::make");
  const int channels = pipeline->detector().channels();
  const float *readings = all.inputs[0].as<float>();
  const size_t rows = all.inputs[0].size() / 4 / static_cast<size_t>(channels);
  std::vector<float> errors(rows * static_cast<size_t>(channels)), scores(rows);
  const auto alarms = std::make_unique<bool[]>(rows);
  must(pipeline->detect(readings, static_cast<int64_t>(rows), channels, errors.data(), scores.data(), alarms.get()),
       "detect");
  all.give(scores);
  const edgekit::AnomalyStreamPointer stream = pipeline->stream();
  must(stream != nullptr, "stream");
  scores.clear();
  for (size_t row = 0; row < rows; ++row) {
    edgekit::RowResult result;
    const edgekit::Push pushed = stream->push(readings + row * static_cast<size_t>(channels), channels, &result);
    must(pushed != edgekit::Push::failed, "push");
    if (pushed == edgekit::Push::scored) scores.push_back(result.score);
  }
  all.give(scores);
  must(stream->reset(), "reset");
  scores.assign(rows, 0);
  constexpr size_t kTogether = 11;
  for (size_t row = 0; row < rows; row += kTogether) {
    const auto count = static_cast<int64_t>(std::min(kTogether, rows - row));
    must(stream->push_rows(readings + row * static_cast<size_t>(channels), count, channels, errors.data(),
                           scores.data() + row, alarms.get()),
         "push_rows");
  }
  all.give(scores);
}
