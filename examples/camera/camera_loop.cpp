#include "camera_loop.h"

#include <filesystem>
#include <thread>
#include <vector>

#include "json_line.h"

namespace {

// Results that wait to be written.
constexpr size_t kResults = 2;

double since(Clock::time_point start) { return milliseconds(Clock::now() - start); }

}  // namespace

CameraLoop::CameraLoop(FrameSource &source, ObjectFinder &finder, LoopSettings settings, std::FILE *lines,
                       std::FILE *messages)
    : source_(source),
      finder_(finder),
      settings_(std::move(settings)),
      lines_(lines),
      messages_(messages),
      frames_(settings_.queue, settings_.when_full),
      results_(kResults, WhenFull::wait) {}

LoopReport CameraLoop::run() {
  std::thread capturing([this] { capture(); }), writing([this] { write(); });
  find();
  capturing.join();
  results_.close();
  writing.join();
  report_.dropped = frames_.dropped();
  return std::move(report_);
}

void CameraLoop::stop() {
  stopped_ = true;
  frames_.abandon();
}

void CameraLoop::say(const Frame &frame, const std::string &why) {
  std::fprintf(messages_, "frame %lld: %s\n", static_cast<long long>(frame.number), why.c_str());
}

void CameraLoop::capture() {
  for (int64_t number = 0; !stopped_; ++number) {
    Frame frame;
    std::string why;
    const Arrival arrival = source_.next(&frame, &why);
    frame.number = number;
    if (arrival == Arrival::end) break;
    if (arrival == Arrival::frame) {
      report_.decode.add(frame.decode_ms);
      frame.ready = Clock::now();
      if (!frames_.push(std::move(frame))) break;
      continue;
    }
    if (stopped_) break;  // a camera may say so where it was interrupted
    say(frame, why);
    if (arrival == Arrival::lost) {
      report_.is_lost = true;
      break;
    }
    ++report_.unreadable;
  }
  frames_.close();
}

void CameraLoop::find() {
  while (std::optional<Frame> frame = frames_.pop()) {
    Result result{std::move(*frame), {}, frames_.dropped(), 0};
    result.queue_wait_ms = since(result.frame.ready);
    std::string why;
    if (finder_.find(result.frame.image, &result.found, &why)) {
      if (!results_.push(std::move(result))) break;
    } else {
      ++report_.failed;
      say(result.frame, why);
    }
  }
  frames_.abandon();  // nobody takes them any more
}

void CameraLoop::write() {
  while (const std::optional<Result> result = results_.pop()) {
    if (!write_line(*result)) {
      report_.is_cut = true;
      std::fprintf(messages_,
                   "the lines cannot be written: the reader of this program's output is gone, or the disk is full.\n");
      stop();
      results_.abandon();
      break;
    }
    if (!settings_.overlay_folder.empty()) draw(*result);
  }
}

bool CameraLoop::write_line(const Result &result) {
  const double program = 1000 * result.found.program_seconds();
  const FrameTimes times{result.queue_wait_ms, program, since(result.frame.arrived)};
  const std::string line = json_line(result.frame, result.dropped, result.found, times);
  if (std::fwrite(line.data(), 1, line.size(), lines_) != line.size() || std::fflush(lines_) != 0) return false;
  // The line tells the time before it was made and written; here that is in it.
  const double whole = since(result.frame.arrived);
  ++report_.frames;
  report_.queue_wait.add(result.queue_wait_ms);
  report_.program.add(program);
  report_.end_to_end.add(whole);
  report_.added.add(whole - result.queue_wait_ms - program);
  return true;
}

void CameraLoop::draw(const Result &result) {
  const Clock::time_point start = Clock::now();
  char number[32];
  std::snprintf(number, sizeof number, "%06lld", static_cast<long long>(result.frame.number));
  const std::string stem = std::filesystem::path(result.frame.name).stem().string();
  const std::string path = settings_.overlay_folder + "/" + number + (stem.empty() ? "" : "-" + stem) + ".png";
  const edgekit::Segmentation &found = result.found;
  const edgekit::ImageSize size = edgekit::overlay_size(found.size());
  std::vector<uint8_t> pixels(size_t{3} * size.height * size.width);
  const bool done = edgekit::draw_overlay(result.frame.image.brightness.data(), found.size(), found.mask(),
                                          found.objects(), found.object_count(), nullptr, pixels.data()) &&
                    edgekit::write_png(path.c_str(), pixels.data(), size, 3);
  if (done) {
    report_.overlay.add(since(start));
  } else {
    if (report_.not_drawn++ == 0) say(result.frame, edgekit::last_error());
  }
}
