#include "json_line.h"

#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace {

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void append(std::string &to, const char *pattern, ...) {
  char text[256];  // numbers only: long enough for any
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  to += text;
}

// Bytes of the UTF-8 character at a place; 0 where there is none.
size_t character_at(const std::string &text, size_t place) {
  const auto byte = [&](size_t at) { return at < text.size() ? static_cast<uint8_t>(text[at]) : uint8_t{0}; };
  const uint8_t first = byte(place);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (size_t next = 1; next < size; ++next)
    if ((byte(place + next) & 0xC0) != 0x80) return 0;
  // Too long for its character, half of a surrogate pair, or beyond the last character.
  const uint8_t second = byte(place + 1);
  const bool is_wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return is_wrong ? 0 : size;
}

}  // namespace

std::string json_text(const std::string &text) {
  std::string quoted = "\"";
  for (size_t place = 0; place < text.size();) {
    const size_t size = character_at(text, place);
    const char letter = text[place];
    if (size == 0) {
      quoted += "\\ufffd";
    } else if (letter == '"' || letter == '\\') {
      quoted += {'\\', letter};
    } else if (size == 1 && static_cast<unsigned char>(letter) < 0x20) {
      append(quoted, "\\u%04x", static_cast<unsigned>(letter));
    } else {
      quoted.append(text, place, size);
    }
    place += size == 0 ? 1 : size;
  }
  return quoted + "\"";
}

std::string json_line(const Frame &frame, size_t dropped, const edgekit::Segmentation &found, const FrameTimes &times) {
  std::string line;
  append(line, "{\"frame\": %lld, \"name\": ", static_cast<long long>(frame.number));
  line += json_text(frame.name);
  append(line, ", \"captured\": %.6f, \"dropped\": %zu, \"objects\": [", frame.captured, dropped);
  for (int index = 0; index < found.object_count(); ++index) {
    const edgekit::SegmentedObject &object = found.objects()[index];
    append(line, "%s{\"centroid\": [%.10g, %.10g], \"box\": [%d, %d, %d, %d]", index == 0 ? "" : ", ",
           object.centroid[0], object.centroid[1], object.box[0], object.box[1], object.box[2], object.box[3]);
    append(line, ", \"area\": %lld, \"peak\": %.9g, \"peak_at\": [%d, %d]}", static_cast<long long>(object.area),
           static_cast<double>(object.peak), object.peak_at[0], object.peak_at[1]);
  }
  append(line, "], \"ms\": {\"queue\": %.3f, \"program\": %.3f, \"end_to_end\": %.3f}}\n", times.queue_wait,
         times.program, times.end_to_end);
  return line;
}
