#include "model_file.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "failure.h"

namespace edgekit::litert_binding {
namespace {

// What is read of a flatbuffer (little-endian): a table begins with the way back to its list of fields, 16 bits each; a
// vector or string with its length. Places lie within the file or `damaged` is thrown.
class Flatbuffer {
 public:
  explicit Flatbuffer(const char *file) : file_(file) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> opened(std::fopen(file, "rb"), std::fclose);
    if (!opened) throw failure("there is no program %s, or it cannot be read.", file);
    char part[65536];
    while (const size_t size = std::fread(part, 1, sizeof part, opened.get())) bytes_.append(part, size);
    if (bytes_.size() < 8 || bytes_.compare(4, 4, "TFL3") != 0) throw damaged();
  }

  size_t root() const { return follow(0); }
  // The place of a table's field, 0 if it has none.
  size_t field(size_t table, int index) const {
    const int64_t fields = static_cast<int64_t>(table) - static_cast<int32_t>(word(table));
    if (fields < 0) throw damaged();
    const size_t entry = 4 + 2 * static_cast<size_t>(index);
    if (entry + 2 > half(static_cast<size_t>(fields))) return 0;
    const uint16_t offset = half(static_cast<size_t>(fields) + entry);
    return offset == 0 ? 0 : table + offset;
  }
  size_t follow(size_t place) const { return place + word(place); }
  uint32_t word(size_t place) const { return read<uint32_t>(place); }
  std::string text(size_t place) const {
    const size_t length = word(place);
    if (length > bytes_.size() - place - 4) throw damaged();
    return bytes_.substr(place + 4, length);
  }

 private:
  template <typename Number>
  Number read(size_t place) const {
    Number number;
    if (place > bytes_.size() || bytes_.size() - place < sizeof number) throw damaged();
    std::memcpy(&number, bytes_.data() + place, sizeof number);
    return number;
  }
  uint16_t half(size_t place) const { return read<uint16_t>(place); }
  Failure damaged() const { return failure("%s is no .tflite program: export it again.", file_); }

  const char *file_;
  std::string bytes_;
};

}  // namespace

std::vector<std::string> custom_codes(const char *file) {
  constexpr int kOperatorCodes = 1, kCustomCode = 1;  // fields of the tables Model and OperatorCode
  const Flatbuffer program(file);
  std::vector<std::string> codes;
  const size_t field = program.field(program.root(), kOperatorCodes);
  if (field == 0) return codes;
  const size_t vector = program.follow(field);
  for (size_t index = 0; index < program.word(vector); ++index) {
    const size_t name = program.field(program.follow(vector + 4 + 4 * index), kCustomCode);
    if (name != 0) codes.push_back(program.text(program.follow(name)));
  }
  return codes;
}

}  // namespace edgekit::litert_binding
