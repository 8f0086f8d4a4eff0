#include "code.h"

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "inflate.h"

namespace edgekit::cuda {
namespace {

// As in kernels/gpu_images.py.
constexpr unsigned char kMagic[8] = {'E', 'K', 'G', 'P', 'U', 0, 0, 1};
constexpr size_t kStart = sizeof kMagic + sizeof(uint32_t);
enum Kind : uint8_t { kMachineCode = 1, kPtx = 2 };
struct Entry {
  uint8_t kind, major, minor, only;
  uint32_t compiler, offset, packed, size;
};
static_assert(sizeof(Entry) == 20 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an entry lies there as in the file");

struct Reason {
  char text[512] = "";
  size_t length = 0;

  __attribute__((format(printf, 2, 3))) void add(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int added = std::vsnprintf(text + length, sizeof text - length, format, arguments);
    va_end(arguments);
    if (added > 0) length = length + added < sizeof text ? length + added : sizeof text - 1;
  }
};

// How many entries there are; -1 if the code is none, or a part of it.
int64_t count_entries(const Code &code) {
  uint32_t count = 0;
  if (code.size < kStart || std::memcmp(code.data, kMagic, sizeof kMagic) != 0) return -1;
  std::memcpy(&count, code.data + sizeof kMagic, sizeof count);
  return count <= (code.size - kStart) / sizeof(Entry) ? count : -1;
}

// One of them; false if its image lies elsewhere.
bool read_entry(const Code &code, int64_t place, Entry &entry) {
  std::memcpy(&entry, code.data + kStart + static_cast<size_t>(place) * sizeof entry, sizeof entry);
  return entry.offset <= code.size && entry.packed <= code.size - entry.offset;
}

Image image;

// Puts an image where `image` says.
bool unpack(const Code &code, const Entry &entry) {
  release_image();
  auto *data = static_cast<unsigned char *>(std::malloc(entry.size));
  image = {data, entry.size};
  return data != nullptr && inflate(code.data + entry.offset, entry.packed, data, entry.size) &&
         (entry.kind != kPtx || data[entry.size - 1] == 0);
}

int capability(const Entry &entry) { return 10 * entry.major + entry.minor; }

// Whether a GPU runs the image, drivers apart.
bool fits(const Entry &entry, int major, int minor) {
  if (entry.kind == kPtx) return capability(entry) <= 10 * major + minor;
  return entry.kind == kMachineCode && entry.major == major && (entry.only ? entry.minor == minor : entry.minor <= minor);
}

// Machine code runs under every driver of its CUDA's major version and later ones; PTX is compiled by the driver, which
// must know its version.
int oldest_driver(const Entry &entry) {
  return static_cast<int>(entry.kind == kPtx ? entry.compiler : entry.compiler / 1000 * 1000);
}

bool better(const Entry &entry, const Entry &than) {
  if (entry.kind != than.kind) return entry.kind == kMachineCode;
  return capability(entry) > capability(than);
}

}  // namespace

const Image *find_image(int major, int minor, int driver, const char *&reason) {
  static Reason why;
  why = Reason();
  reason = why.text;
  const Code code = embedded_code();
  if (code.size == 0) {
    why.add("this library was built without GPU code");
    return nullptr;
  }
  const int64_t count = count_entries(code);
  bool sound = count >= 0;
  Entry best{}, too_new{}, entry{};
  for (int64_t place = 0; sound && place < count; ++place) {
    sound = read_entry(code, place, entry);
    if (!fits(entry, major, minor)) continue;
    if (driver < oldest_driver(entry)) {
      if (too_new.kind == 0 || oldest_driver(entry) < oldest_driver(too_new)) too_new = entry;
    } else if (best.kind == 0 || better(entry, best)) {
      best = entry;
    }
  }
  if (best.kind != 0 && sound) sound = unpack(code, best);
  if (!sound) {
    why.add("this library's GPU code is damaged: install it again");
    return nullptr;
  }
  if (best.kind != 0) return &image;
  if (too_new.kind != 0) {
    const int wanted = oldest_driver(too_new);
    why.add("the GPU's driver is of CUDA %d.%d, and code for compute capability %d.%d needs CUDA %d.%d: update the driver",
            driver / 1000, driver % 1000 / 10, major, minor, wanted / 1000, wanted % 1000 / 10);
    return nullptr;
  }
  why.add("the GPU has compute capability %d.%d, and this library has code for", major, minor);
  for (int64_t place = 0, named = 0; place < count; ++place) {
    read_entry(code, place, entry);
    if (entry.kind != kMachineCode && entry.kind != kPtx) continue;
    why.add("%s %d.%d%s", named++ == 0 ? "" : ",", entry.major, entry.minor,
            entry.kind == kPtx ? " and later (PTX)" : "");
  }
  return nullptr;
}

void release_image() {
  std::free(const_cast<void *>(image.data));
  image = {nullptr, 0};
}

}  // namespace edgekit::cuda
