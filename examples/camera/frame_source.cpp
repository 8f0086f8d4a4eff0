#include "frame_source.h"

#include <edgekit/images.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/videoio.hpp>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

// How often in a row a camera may give nothing before it is lost, and how long is waited in between.
constexpr int kMostFailures = 10;
constexpr std::chrono::milliseconds kPause{20};

// Notes the time: there are pixels now.
void stamp(Frame *frame, Clock::time_point begun) {
  frame->arrived = Clock::now();
  frame->decode_ms = milliseconds(frame->arrived - begun);
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  frame->captured = std::chrono::duration<double>(since_1970).count();
}

// PNG, JPEG and BMP, in the order of their names. Read by edgekit, so that the answers are those of `edgekit run`, and
// that a file that asks for more memory than an image takes is refused.
class Folder final : public FrameSource {
 public:
  explicit Folder(std::vector<fs::path> files) : files_(std::move(files)) {}

  Arrival next(Frame *frame, std::string *why) override {
    if (place_ == files_.size()) return Arrival::end;
    const fs::path &file = files_[place_++];
    frame->name = file.filename().string();
    const Clock::time_point begun = Clock::now();
    edgekit::ImageSize size{};
    const edgekit::ArrayPointer<float> pixels = edgekit::read_gray(file.c_str(), &size);
    if (!pixels) {
      *why = edgekit::last_error();
      return Arrival::unreadable;
    }
    frame->image.size = size;
    frame->image.brightness.assign(pixels.get(), pixels.get() + size_t{1} * size.height * size.width);
    stamp(frame, begun);
    return Arrival::frame;
  }
  bool is_live() const override { return false; }

 private:
  std::vector<fs::path> files_;
  size_t place_ = 0;
};

bool is_image(const fs::path &path) {
  std::string ending = path.extension().string();
  for (char &letter : ending) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg" || ending == ".bmp";
}

std::unique_ptr<FrameSource> open_folder(const std::string &input, std::string *why) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(input, error), end; !error && entry != end; entry.increment(error))
    if (is_image(entry->path())) files.push_back(entry->path());
  if (error) {
    *why = input + " cannot be read (" + error.message() + "): check its rights.";
    return nullptr;
  }
  if (files.empty()) {
    *why = input + " has no images: give a folder with PNG, JPEG or BMP files.";
    return nullptr;
  }
  std::sort(files.begin(), files.end());
  return std::make_unique<Folder>(std::move(files));
}

// What OpenCV reads: video files, cameras and streams.
class Video final : public FrameSource {
 public:
  Video(const std::string &input, bool is_camera, bool is_live) : input_(input), is_live_(is_live) {
    if (is_camera) {
      capture_.open(std::stoi(input));
    } else {
      capture_.open(input);
    }
  }

  bool is_open() const { return capture_.isOpened(); }

  Arrival next(Frame *frame, std::string *why) override {
    const Clock::time_point begun = Clock::now();
    frame->name.clear();
    if (!read()) return no_frame(why);
    failures_ = 0;
    stamp(frame, begun);
    const int type = pixels_.type();
    if (type != CV_8UC1 && type != CV_8UC3 && type != CV_16UC1) {
      *why = input_ + " gives frames of " + cv::typeToString(type) + ": gray of 8 or 16 bits or colour is needed.";
      return Arrival::unreadable;
    }
    const PixelView view{pixels_.data,
                         pixels_.step[0] * static_cast<size_t>(pixels_.rows),
                         static_cast<uint32_t>(pixels_.rows),
                         static_cast<uint32_t>(pixels_.cols),
                         pixels_.step[0],
                         type == CV_8UC1 ? Encoding::mono8 : type == CV_8UC3 ? Encoding::bgr8 : Encoding::mono16,
                         false};
    return to_gray(view, &frame->image, why) ? Arrival::frame : Arrival::unreadable;
  }
  bool is_live() const override { return is_live_; }

 private:
  bool read() {
    try {
      return capture_.read(pixels_) && !pixels_.empty();
    } catch (const cv::Exception &) {
      return false;
    }
  }

  // A video file is at its end; a camera may go on.
  Arrival no_frame(std::string *why) {
    if (!is_live_) return Arrival::end;
    if (++failures_ == kMostFailures) {
      *why = input_ + " gives no frames any more: check the camera and its cable.";
      return Arrival::lost;
    }
    std::this_thread::sleep_for(kPause);
    *why = input_ + " gave no frame (" + std::to_string(failures_) + " of " + std::to_string(kMostFailures) +
           " in a row before it counts as lost).";
    return Arrival::unreadable;
  }

  std::string input_;
  bool is_live_;
  cv::VideoCapture capture_;
  cv::Mat pixels_;
  int failures_ = 0;
};

}  // namespace

std::unique_ptr<FrameSource> open_source(const std::string &input, std::string *why) {
  const bool is_number = input.find_first_not_of("0123456789") == std::string::npos;
  const bool is_camera = is_number && !input.empty() && input.size() < 4;
  const bool is_address = input.find("://") != std::string::npos;
  std::error_code error;
  if (!is_camera && !is_address) {
    if (!fs::exists(input, error)) {
      *why = "there is no " + input + ": give a folder, a video file, a camera's number or an address.";
      return nullptr;
    }
    if (fs::is_directory(input, error)) return open_folder(input, why);
  }
  std::unique_ptr<Video> video;
  try {
    video = std::make_unique<Video>(input, is_camera, is_camera || is_address);
  } catch (const cv::Exception &) {
  }
  if (!video || !video->is_open()) {
    *why = (is_camera ? "camera " : "") + input + " cannot be opened: " +
           (is_camera || is_address ? "check that it is there and that nothing else uses it."
                                    : "give a folder of images, or a video that this OpenCV reads.");
    return nullptr;
  }
  return video;
}
