#include "edgekit/segment.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "objects.h"
#include "tiles.h"

namespace edgekit {
namespace {

constexpr char kTask[] = "segment";
constexpr const char *kFits[] = {"resize", "pad", "tile"};
// Of a method's input: more would not fit a frame's memory anyway, and products stay far from overflow.
constexpr int64_t kMostElements = int64_t{1} << 28;

// What the task knows beside the program.
struct Settings {
  double threshold;
  std::optional<int> halo;  // pixels around an output on which it depends; none if it depends on the whole frame
};

Settings settings_of(const Session &session) {
  const Json manifest = Json::parse(session.manifest());
  const Json &fields = manifest.at("pipeline");
  const auto threshold = fields.find("threshold"), halo = fields.find("halo");
  Settings settings{};
  bool fits = threshold != fields.end() && threshold->is_number() && halo != fields.end();
  if (fits) {
    settings.threshold = threshold->get<double>();
    fits = std::isfinite(settings.threshold);
  }
  if (fits && !halo->is_null()) {
    const double pixels = halo->is_number_integer() ? halo->get<double>() : -1;
    fits = pixels >= 0 && pixels <= static_cast<double>(kMostElements);
    if (fits) settings.halo = halo->get<int>();
  }
  if (!fits) throw Failure("the manifest's settings of the task 'segment' do not fit: export the bundle again.");
  return settings;
}

// A frame size, and the methods that take it, the largest batch first.
struct Frame {
  ImageSize size;
  std::vector<const MethodSpec *> methods;
};

bool is_image(const TensorSpec &spec) {
  if (spec.rank != 4 || spec.shape[1] != 1 || spec.dtype != DType::float32) return false;
  int64_t elements = 1;
  for (int dimension = 0; dimension < spec.rank; ++dimension) {
    if (spec.shape[dimension] < 1 || spec.shape[dimension] > kMostElements / elements) return false;
    elements *= spec.shape[dimension];
  }
  return true;
}

bool takes_images(const MethodSpec &method) {
  if (method.input_count != 1 || method.output_count < 1 || !is_image(method.inputs[0])) return false;
  for (int output = 0; output < method.output_count; ++output) {
    const TensorSpec &spec = method.outputs[output];
    if (!is_image(spec) || !std::equal(spec.shape, spec.shape + 4, method.inputs[0].shape)) return false;
  }
  return true;
}

std::vector<Frame> frames_of(const Session &session) {
  std::vector<Frame> frames;
  for (int index = 0; index < session.method_count(); ++index) {
    const MethodSpec &method = session.method(index);
    // Methods give the same outputs: an image may go through several.
    if (!takes_images(method) || method.output_count != session.method(0).output_count)
      throw Failure(format("method '%s' of %s takes no image: export it again.", method.name, session.folder()));
    const int64_t *shape = method.inputs[0].shape;
    const ImageSize size{static_cast<int>(shape[2]), static_cast<int>(shape[3])};
    auto frame = std::find_if(frames.begin(), frames.end(), [&](const Frame &known) { return known.size == size; });
    if (frame == frames.end()) frame = frames.insert(frame, {size, {}});
    frame->methods.push_back(&method);
  }
  for (Frame &frame : frames)
    std::stable_sort(frame.methods.begin(), frame.methods.end(), [](const MethodSpec *a, const MethodSpec *b) {
      return a->inputs[0].shape[0] > b->inputs[0].shape[0];
    });
  return frames;
}

size_t pixels_of(ImageSize size) { return static_cast<size_t>(size.height) * static_cast<size_t>(size.width); }

std::string text_of(ImageSize size) { return format("%dx%d", size.height, size.width); }

using Candidates = std::vector<const Frame *>;

std::string text_of(const Candidates &frames, const char *between) {
  std::string text;
  for (const Frame *frame : frames) text += (text.empty() ? "" : between) + text_of(frame->size);
  return text;
}

void check(const float *image, ImageSize size) {
  if (std::min(size.height, size.width) < kShortestSide)
    throw Failure(format("an image is float32 (%d, %d): brightness as floats (H, W) is needed, each side %d pixels or "
                         "more.",
                         size.height, size.width, kShortestSide));
  if (!std::all_of(image, image + pixels_of(size), [](float value) { return std::isfinite(value); }))
    throw Failure("the image has values that are not finite.");
}

// A frame's place on the image, along either side.
struct Place {
  Tile rows, columns;
};

// What of the image lies in a frame at a place; beyond its end its last row and column are repeated.
void cut(const float *image, ImageSize size, const Place &place, ImageSize frame, float *to) {
  const int inside = std::min(frame.width, size.width - place.columns.start);
  for (int row = 0; row < frame.height; ++row) {
    const int from = std::min(place.rows.start + row, size.height - 1);
    const float *begin = image + static_cast<ptrdiff_t>(from) * size.width + place.columns.start;
    to = std::copy_n(begin, inside, to);
    to = std::fill_n(to, frame.width - inside, begin[inside - 1]);
  }
}

// What is kept of a frame's output.
void paste(const float *output, ImageSize frame, const Place &place, float *whole, ImageSize size) {
  const Tile &rows = place.rows, &columns = place.columns;
  for (int row = rows.begin; row < rows.end; ++row) {
    const float *from = output + static_cast<ptrdiff_t>(row - rows.start) * frame.width;
    float *to = whole + static_cast<ptrdiff_t>(row) * size.width;
    std::copy(from + columns.begin - columns.start, from + columns.end - columns.start, to + columns.begin);
  }
}

}  // namespace

struct Segmentation::Impl {
  struct Output {
    std::string name;
    std::vector<float> values;
  };

  bool filled = false;
  ImageSize size{}, map_size{};
  std::vector<uint8_t> mask;
  std::vector<float> resized;  // the logits at the image's size, where the maps have another
  std::vector<SegmentedObject> objects;
  std::vector<Output> outputs;
  std::string method;
  double program_seconds = 0;

  const float *logits() const { return size == map_size ? outputs[0].values.data() : resized.data(); }
};

Segmentation::Segmentation() noexcept = default;
Segmentation::Segmentation(Segmentation &&other) noexcept = default;
Segmentation &Segmentation::operator=(Segmentation &&other) noexcept = default;
Segmentation::~Segmentation() = default;

ImageSize Segmentation::size() const noexcept { return impl_ && impl_->filled ? impl_->size : ImageSize{}; }

const uint8_t *Segmentation::mask() const noexcept { return impl_ && impl_->filled ? impl_->mask.data() : nullptr; }

const float *Segmentation::logits() const noexcept { return impl_ && impl_->filled ? impl_->logits() : nullptr; }

int Segmentation::object_count() const noexcept {
  return impl_ && impl_->filled ? static_cast<int>(impl_->objects.size()) : 0;
}

const SegmentedObject *Segmentation::objects() const noexcept {
  return impl_ && impl_->filled ? impl_->objects.data() : nullptr;
}

int Segmentation::map_count() const noexcept {
  return impl_ && impl_->filled ? static_cast<int>(impl_->outputs.size()) : 0;
}

Map Segmentation::map(int index) const noexcept {
  const Impl::Output &output = impl_->outputs[static_cast<size_t>(index)];
  return {output.name.c_str(), impl_->map_size, output.values.data()};
}

const char *Segmentation::method() const noexcept { return impl_ && impl_->filled ? impl_->method.c_str() : ""; }

double Segmentation::program_seconds() const noexcept { return impl_ && impl_->filled ? impl_->program_seconds : 0; }

struct SegmentPipeline::Impl {
  explicit Impl(Session &opened) : session(opened) {
    if (std::strcmp(session.task(), kTask) != 0)
      throw UsageFailure(
          format("%s is a bundle for the task '%s', not '%s'.", session.folder(), session.task(), kTask));
    settings = settings_of(session);
    frames = frames_of(session);
    for (const Frame &frame : frames) all.push_back(&frame);
  }

  std::string known() const { return text_of(all, ", "); }

  Candidates candidates(const ImageSize *wanted) const {
    if (wanted == nullptr) return all;
    for (const Frame &frame : frames)
      if (frame.size == *wanted) return {&frame};
    const std::string text = text_of(*wanted);
    throw UsageFailure(
        format("the bundle has no frames of %s, it has %s: choose one of them, or export it with --size %s.",
               text.c_str(), known().c_str(), text.c_str()));
  }

  void resize(const float *image, ImageSize size, const Candidates &choice, Segmentation::Impl &found) {
    const auto distance = [&](const Frame *frame) {
      return std::abs(std::log(static_cast<double>(frame->size.height) / size.height)) +
             std::abs(std::log(static_cast<double>(frame->size.width) / size.width));
    };
    const Frame *frame = *std::min_element(
        choice.begin(), choice.end(), [&](const Frame *a, const Frame *b) { return distance(a) < distance(b); });
    prepare(frame->size, found);
    const auto fill = [&](size_t, float *to) {
      if (!resize_linear(image, size, to, frame->size)) throw Failure(last_error());
    };
    run(*frame, 1, fill, found, [&](size_t, const float *output, float *whole) {
      std::copy_n(output, pixels_of(frame->size), whole);
    });
  }

  void pad(const float *image, ImageSize size, const Candidates &choice, Segmentation::Impl &found) {
    const Frame *smallest = nullptr;
    for (const Frame *frame : choice) {
      const bool holds = frame->size.height >= size.height && frame->size.width >= size.width;
      if (holds && (smallest == nullptr || pixels_of(frame->size) < pixels_of(smallest->size))) smallest = frame;
    }
    if (smallest == nullptr)
      throw UsageFailure(format("an image of %s cannot be padded to %s (the bundle has %s): resize it instead, or "
                                "export a --size that holds it.",
                                text_of(size).c_str(), text_of(choice, " or ").c_str(), known().c_str()));
    run(image, size, *smallest, {{{0, 0, size.height}, {0, 0, size.width}}}, found);
  }

  void tile(const float *image, ImageSize size, const Candidates &choice, Segmentation::Impl &found) {
    if (!settings.halo)
      throw UsageFailure("this model pools over the whole frame, so that tiles would change its answer: use the fit "
                         "resize or pad.");
    const Frame *cheapest = nullptr;
    std::vector<Tile> rows, columns;
    for (const Frame *frame : choice) {
      std::vector<Tile> down = tiles_along(size.height, frame->size.height, *settings.halo);
      std::vector<Tile> across = tiles_along(size.width, frame->size.width, *settings.halo);
      if (down.empty() || across.empty()) continue;
      if (cheapest != nullptr && down.size() * across.size() * pixels_of(frame->size) >=
                                     rows.size() * columns.size() * pixels_of(cheapest->size))
        continue;
      cheapest = frame;
      rows.swap(down);
      columns.swap(across);
    }
    if (cheapest == nullptr) throw no_tiles(size, choice);
    std::vector<Place> places;
    for (const Tile &row : rows)
      for (const Tile &column : columns) places.push_back({row, column});
    run(image, size, *cheapest, places, found);
  }

  UsageFailure no_tiles(ImageSize size, const Candidates &choice) const {
    const bool smaller = std::any_of(choice.begin(), choice.end(), [&](const Frame *frame) {
      return frame->size.height > size.height || frame->size.width > size.width;
    });
    const std::string reason =
        smaller ? "is smaller than the tile, whose edge would not be the image's"
                : format("needs tiles that overlap by %d pixels and leave something", 2 * *settings.halo);
    return UsageFailure(format("an image of %s cannot be cut into tiles of %s, it %s (the bundle has %s): use the fit "
                               "%sresize.",
                               text_of(size).c_str(), text_of(choice, " or ").c_str(), reason.c_str(), known().c_str(),
                               smaller ? "pad or " : ""));
  }

  void prepare(ImageSize size, Segmentation::Impl &found) const {
    const MethodSpec &method = *frames[0].methods[0];
    found.map_size = size;
    found.outputs.resize(static_cast<size_t>(method.output_count));
    for (size_t output = 0; output < found.outputs.size(); ++output) {
      found.outputs[output].name = method.outputs[output].name;
      found.outputs[output].values.resize(pixels_of(size));
    }
  }

  // Frames at places of the image.
  void run(const float *image, ImageSize size, const Frame &frame, const std::vector<Place> &places,
           Segmentation::Impl &found) {
    prepare(size, found);
    run(
        frame, places.size(), [&](size_t index, float *to) { cut(image, size, places[index], frame.size, to); }, found,
        [&](size_t index, const float *output, float *whole) {
          paste(output, frame.size, places[index], whole, size);
        });
  }

  // `count` frames, in the batches that the program has. `fill(index, to)` writes one; `keep(index, output, whole)`
  // takes one of its outputs to the map of the whole.
  template <typename Fill, typename Keep>
  void run(const Frame &frame, size_t count, const Fill &fill, Segmentation::Impl &found, const Keep &keep) {
    const size_t pixels = pixels_of(frame.size);
    for (size_t done = 0; done < count;) {
      const size_t left = count - done;
      const MethodSpec *method = frame.methods.back();
      for (const MethodSpec *larger : frame.methods) {
        if (static_cast<size_t>(larger->inputs[0].shape[0]) > left) continue;
        method = larger;
        break;
      }
      const size_t batch = static_cast<size_t>(method->inputs[0].shape[0]), used = std::min(batch, left);
      input.resize(batch * pixels);
      for (size_t index = 0; index < batch; ++index) {
        float *const to = input.data() + index * pixels;
        // No method is small enough: fill up with the last frame, and drop the surplus.
        if (index < used) {
          fill(done + index, to);
        } else {
          std::copy_n(to - pixels, pixels, to);
        }
      }
      const auto start = std::chrono::steady_clock::now();
      run(*method, batch * pixels);
      found.program_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      for (size_t output = 0; output < outputs.size(); ++output)
        for (size_t index = 0; index < used; ++index)
          keep(done + index, outputs[output].data() + index * pixels, found.outputs[output].values.data());
      done += used;
      found.method = method->name;
    }
  }

  // `input` through a method to `outputs`.
  void run(const MethodSpec &method, size_t elements) {
    outputs.resize(static_cast<size_t>(method.output_count));
    tensors.clear();
    for (std::vector<float> &output : outputs) {
      output.resize(elements);
      tensors.push_back({output.data(), DType::float32, 4, method.inputs[0].shape});
    }
    const Tensor image{input.data(), DType::float32, 4, method.inputs[0].shape};
    if (session.run(method.name, &image, 1, tensors.data(), method.output_count)) return;
    const std::string sentence = last_error();
    if (last_error_is_usage()) throw UsageFailure(sentence);
    throw Failure(sentence);
  }

  void finish(ImageSize size, Segmentation::Impl &found) const {
    const size_t pixels = pixels_of(size);
    found.size = size;
    if (size != found.map_size) {
      found.resized.resize(pixels);
      if (!resize_nearest(found.outputs[0].values.data(), found.map_size, sizeof(float), found.resized.data(), size))
        throw Failure(last_error());
    }
    const float *logits = found.logits();
    if (!std::all_of(logits, logits + pixels, [](float value) { return std::isfinite(value); }))
      throw Failure(format("method '%s' gave values that are not finite: is the image's brightness in [0, 1]?",
                           found.method.c_str()));
    // Compared as float32, which the logits are.
    const float threshold = static_cast<float>(settings.threshold);
    found.mask.resize(pixels);
    std::transform(logits, logits + pixels, found.mask.begin(),
                   [&](float value) { return static_cast<uint8_t>(value > threshold); });
    find_objects(logits, size, threshold, Order::peak, found.objects);
    found.filled = true;
  }

  Session &session;
  Settings settings;
  std::vector<Frame> frames;
  Candidates all;
  // Of one call of the program, kept for the next.
  std::vector<float> input;
  std::vector<std::vector<float>> outputs;
  std::vector<Tensor> tensors;
};

SegmentPipelinePointer SegmentPipeline::open(Session *session) noexcept {
  return guarded([&] { return SegmentPipelinePointer(new SegmentPipeline(std::make_unique<Impl>(*session))); });
}

SegmentPipeline::SegmentPipeline(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

SegmentPipeline::~SegmentPipeline() = default;

void SegmentPipelineDeleter::operator()(SegmentPipeline *pipeline) const noexcept { delete pipeline; }

int SegmentPipeline::size_count() const noexcept { return static_cast<int>(impl_->frames.size()); }

ImageSize SegmentPipeline::size(int index) const noexcept { return impl_->frames[static_cast<size_t>(index)].size; }

double SegmentPipeline::threshold() const noexcept { return impl_->settings.threshold; }

void SegmentPipeline::set_threshold(double threshold) noexcept { impl_->settings.threshold = threshold; }

bool SegmentPipeline::segment(const float *image, ImageSize size, Segmentation *found, Fit fit,
                              const ImageSize *frame) noexcept {
  return guarded([&] {
    if (!found->impl_) found->impl_ = std::make_unique<Segmentation::Impl>();
    Segmentation::Impl &to = *found->impl_;
    to.filled = false;
    to.program_seconds = 0;
    check(image, size);
    const Candidates choice = impl_->candidates(frame);
    if (fit == Fit::tile) {
      impl_->tile(image, size, choice, to);
    } else if (fit == Fit::pad) {
      impl_->pad(image, size, choice, to);
    } else {
      impl_->resize(image, size, choice, to);
    }
    impl_->finish(size, to);
    return true;
  });
}

bool find_fit(const char *name, Fit *fit) noexcept {
  return guarded([&] {
    std::string known;
    for (size_t index = 0; index < std::size(kFits); ++index) {
      if (std::strcmp(kFits[index], name) == 0) {
        *fit = static_cast<Fit>(index);
        return true;
      }
      known += (known.empty() ? "" : ", ") + std::string(kFits[index]);
    }
    throw UsageFailure(format("unknown fit '%s': there are %s.", name, known.c_str()));
  });
}

}  // namespace edgekit
