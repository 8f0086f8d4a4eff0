// Segmentation: images in; masks and lists of objects out.

#include <cstdio>
#include <vector>

#include "core/json.h"
#include "edgekit/images.h"
#include "edgekit/segment.h"
#include "output.h"
#include "tasks.h"

namespace edgekit {
namespace {

constexpr int kShownObjects = 10;

Json json_of(const SegmentedObject &object) {
  return {{"centroid", {object.centroid[0], object.centroid[1]}},
          {"box", {object.box[0], object.box[1], object.box[2], object.box[3]}},
          {"area", object.area},
          {"peak", object.peak},
          {"peak_at", {object.peak_at[0], object.peak_at[1]}}};
}

Json json_of(const std::string &input, const Segmentation &found) {
  Json objects = Json::array();
  for (int index = 0; index < found.object_count(); ++index) objects.push_back(json_of(found.objects()[index]));
  int64_t pixels = 0;
  const ImageSize size = found.size();
  for (int64_t place = 0; place < int64_t{size.height} * size.width; ++place) pixels += found.mask()[place];
  return {{"input", input}, {"height", size.height}, {"width", size.width}, {"method", found.method()},
          {"object_pixels", pixels}, {"objects", std::move(objects)}};
}

std::string objects_as_csv(const Segmentation &found) {
  std::string text = "object,row,column,top,left,bottom,right,area,peak,peak_row,peak_column\n";
  for (int index = 0; index < found.object_count(); ++index) {
    const SegmentedObject &object = found.objects()[index];
    text += format("%d,%.3f,%.3f,%d,%d,%d,%d,%lld,%.6g,%d,%d\n", index + 1, object.centroid[0], object.centroid[1],
                   object.box[0], object.box[1], object.box[2], object.box[3], static_cast<long long>(object.area),
                   static_cast<double>(object.peak), object.peak_at[0], object.peak_at[1]);
  }
  return text;
}

void write(const Request &request, const Json &result, const float *image, const Segmentation &found) {
  const ImageSize size = found.size();
  if (request.output) {
    if (ends_with(*request.output, ".png")) {
      std::vector<uint8_t> mask(found.mask(), found.mask() + size_t{1} * size.height * size.width);
      for (uint8_t &pixel : mask) pixel = pixel ? 255 : 0;
      if (!write_png(request.output->c_str(), mask.data(), size, 1)) fail_as_said();
    } else {
      write_file(*request.output, ends_with(*request.output, ".csv") ? objects_as_csv(found) : result.dump(2) + "\n");
    }
  }
  if (request.picture) {
    const ImageSize large = overlay_size(size);
    std::vector<uint8_t> pixels(size_t{3} * large.height * large.width);
    if (!draw_overlay(image, size, found.mask(), found.objects(), found.object_count(), nullptr, pixels.data()) ||
        !write_png(request.picture->c_str(), pixels.data(), large, 3))
      fail_as_said();
  }
}

}  // namespace

void run_segment(Session &session, const Request &request) {
  take_only(request, {"input", "output", "picture", "threshold", "size", "fit"});
  if (request.inputs.empty()) throw UsageFailure("this bundle takes images: give them with --input FILE.");
  if (request.inputs.size() > 1 && (request.output || request.picture))
    throw UsageFailure("--output and --picture take the answer for one image: run the images one at a time.");
  for (const auto &path : {request.output, request.picture})
    if (path) check_free(request, *path);
  if (request.output && !ends_with(*request.output, ".png") && !ends_with(*request.output, ".csv") &&
      !ends_with(*request.output, ".json"))
    throw UsageFailure(format("%s: write the mask as .png, or the list as .csv or .json.", request.output->c_str()));
  if (request.picture && !ends_with(*request.picture, ".png"))
    throw UsageFailure(format("%s is not the name of a picture: let it end in .png.", request.picture->c_str()));
  const SegmentPipelinePointer pipeline = SegmentPipeline::open(&session);
  if (!pipeline) fail_as_said();
  if (request.threshold) {
    char *end = nullptr;
    const double threshold = std::strtod(request.threshold->c_str(), &end);
    if (end == request.threshold->c_str() || *end != '\0')
      throw UsageFailure(format("--threshold %s is not a number.", request.threshold->c_str()));
    pipeline->set_threshold(threshold);
  }
  Fit fit = Fit::resize;
  if (request.fit && !find_fit(request.fit->c_str(), &fit)) fail_as_said();
  ImageSize frame{};
  char rest = '\0';
  if (request.size && std::sscanf(request.size->c_str(), "%dx%d%c", &frame.height, &frame.width, &rest) != 2)
    throw UsageFailure(format("--size %s: give height and width, such as 256x256.", request.size->c_str()));
  Json results = Json::array();
  Segmentation found;
  for (const std::string &input : request.inputs) {
    ImageSize size;
    const ArrayPointer<float> image = read_gray(input.c_str(), &size);
    if (!image || !pipeline->segment(image.get(), size, &found, fit, request.size ? &frame : nullptr)) fail_as_said();
    results.push_back(json_of(input, found));
    write(request, results.back(), image.get(), found);
  }
  if (request.json) {
    std::printf("%s\n", (results.size() == 1 ? results[0] : results).dump(2).c_str());
    return;
  }
  for (const Json &result : results) {
    int shown = 0;
    for (const Json &object : result["objects"]) {
      if (++shown > kShownObjects) break;
      std::printf("object %d: row %.1f, column %.1f, area %lld, peak logit %.2f\n", shown,
                  object["centroid"][0].get<double>(), object["centroid"][1].get<double>(),
                  static_cast<long long>(object["area"].get<int64_t>()), object["peak"].get<double>());
    }
    const size_t count = result["objects"].size();
    std::printf("%s: %zu object%s in %lld of %dx%d pixels (%s).\n", result["input"].get<std::string>().c_str(), count,
                count == 1 ? "" : "s", static_cast<long long>(result["object_pixels"].get<int64_t>()),
                result["height"].get<int>(), result["width"].get<int>(),
                result["method"].get<std::string>().c_str());
  }
  for (const auto &path : {request.output, request.picture})
    if (path) std::printf("Written: %s\n", path->c_str());
}

}  // namespace edgekit
