// The camera's plain classes, case by case: camera_parts CASE [argument]... What a case finds goes to stdout.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "bounded_queue.h"
#include "camera_loop.h"
#include "gray.h"
#include "json_line.h"
#include "times.h"

namespace {

[[noreturn]] void give_up(const std::string &sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(1);
}

// 1 to 9 to a full queue of 3 that drops, then all that is left, then one more to the closed queue.
void drop() {
  BoundedQueue<int> queue(3, WhenFull::drop_oldest);
  for (int item = 1; item < 10; ++item)
    if (!queue.push(item)) give_up("an open queue took nothing");
  std::printf("dropped %zu:", queue.dropped());
  queue.close();
  while (const std::optional<int> item = queue.pop()) std::printf(" %d", *item);
  if (queue.push(10)) give_up("a closed queue took an item");
  std::printf(" dropped %zu\n", queue.dropped());
}

// 1 to 10,000 by one thread through a queue of 2 to another; at no time are there more than 2 between them.
void wait() {
  BoundedQueue<int> queue(2, WhenFull::wait);
  std::atomic<int> pushed{0};
  std::thread pushing([&] {
    for (int item = 1; item <= 10000; ++item, ++pushed) queue.push(item);
    queue.close();
  });
  int last = 0, most = 0;
  while (const std::optional<int> item = queue.pop()) {
    if (*item != last + 1) give_up("an item is missing");
    most = std::max(most, pushed - last);
    last = *item;
  }
  pushing.join();
  // One may be on its way in, one on its way out.
  std::printf("last %d, dropped %zu, most between is %s\n", last, queue.dropped(), most <= 4 ? "small" : "large");
}

// A queue that is given up wakes who waits for room, and who waits for an item.
void abandon() {
  BoundedQueue<int> full(1, WhenFull::wait), empty(1, WhenFull::wait);
  full.push(1);
  std::thread pushing([&] {
    if (full.push(2)) give_up("a queue that was given up took an item");
  });
  std::thread popping([&] {
    if (empty.pop()) give_up("an empty queue gave an item");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  full.abandon();
  empty.abandon();
  pushing.join();
  popping.join();
  if (full.pop()) give_up("a queue that was given up gave an item");
  std::printf("dropped %zu\n", full.dropped());
}

// ENCODING HEIGHT WIDTH STEP BIG FILE: brightness as float32, or why there is none.
void gray(char **arguments) {
  std::ifstream file(arguments[5], std::ios::binary);
  // Of exactly this size on the heap: a read beyond it is found.
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  PixelView view{reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(),
                 static_cast<uint32_t>(std::strtoul(arguments[1], nullptr, 10)),
                 static_cast<uint32_t>(std::strtoul(arguments[2], nullptr, 10)),
                 std::strtoull(arguments[3], nullptr, 10), Encoding::mono8, std::strcmp(arguments[4], "1") == 0};
  if (!find_encoding(arguments[0], &view.encoding)) give_up("unknown encoding");
  GrayImage found;
  std::string why;
  if (!to_gray(view, &found, &why)) give_up(why);
  std::fwrite(found.brightness.data(), sizeof(float), found.brightness.size(), stdout);
}

// Frames of a camera that are all the same, as fast as they are taken: `good` of them, one that cannot be read, and
// then nothing any more. With `good` 0 it never ends.
class MadeCamera final : public FrameSource {
 public:
  MadeCamera(GrayImage image, int good) : image_(std::move(image)), good_(good) {}

  Arrival next(Frame *frame, std::string *why) override {
    ++given;
    if (good_ > 0 && given > good_) {
      *why = given == good_ + 1 ? "made unreadable." : "made lost.";
      return given == good_ + 1 ? Arrival::unreadable : Arrival::lost;
    }
    frame->image = image_;
    frame->arrived = Clock::now();
    return Arrival::frame;
  }
  bool is_live() const override { return true; }

  std::atomic<int> given{0};

 private:
  const GrayImage image_;
  const int good_;
};

GrayImage made_image() {
  GrayImage image{{64, 48}, std::vector<float>(64 * 48, 0.25f)};
  image.brightness[30 * 48 + 20] = 1;
  return image;
}

// BUNDLE FRAMES DROP STOP: a made camera through the loop, stopped after STOP frames if that is not 0.
void loop(char **arguments) {
  std::string why;
  const std::unique_ptr<ObjectFinder> finder = ObjectFinder::open({arguments[0], {}, "resize"}, &why);
  if (!finder) give_up(why);
  const int frames = std::atoi(arguments[1]), stop = std::atoi(arguments[3]);
  MadeCamera camera(made_image(), frames);
  const LoopSettings settings{2, std::strcmp(arguments[2], "oldest") == 0 ? WhenFull::drop_oldest : WhenFull::wait, ""};
  CameraLoop running(camera, *finder, settings, stdout, stderr);
  std::thread stopping([&] {
    while (stop > 0 && camera.given < stop) std::this_thread::yield();
    if (stop > 0) running.stop();
  });
  const LoopReport report = running.run();
  stopping.join();
  std::fprintf(stderr, "report %lld %zu %lld %lld %d %d\n", static_cast<long long>(report.frames), report.dropped,
               static_cast<long long>(report.unreadable), static_cast<long long>(camera.given), report.is_lost,
               report.is_cut);
}

// FILE: a text as JSON.
void text(char **arguments) {
  std::ifstream file(arguments[0], std::ios::binary);
  std::printf("%s", json_text({std::istreambuf_iterator<char>(file), {}}).c_str());
}

// Percentiles of 1 to 25,000: of the newest 10,000.
void times() {
  Times times;
  for (int time = 1; time <= 25000; ++time) times.add(time);
  std::printf("%.0f %.0f %.0f\n", times.percentile(0), times.percentile(0.5), times.percentile(1));
}

}  // namespace

int main(int count, char **arguments) {
  const std::string name = count > 1 ? arguments[1] : "";
  if (name == "drop") return drop(), 0;
  if (name == "wait") return wait(), 0;
  if (name == "abandon") return abandon(), 0;
  if (name == "gray" && count == 8) return gray(arguments + 2), 0;
  if (name == "loop" && count == 6) return loop(arguments + 2), 0;
  if (name == "text" && count == 3) return text(arguments + 2), 0;
  if (name == "times") return times(), 0;
  give_up("usage: camera_parts CASE [argument]...");
}
