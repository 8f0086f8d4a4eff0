// A stand-in for libcuda.so.1: a GPU that is emulated on the CPU (emulator.h). EDGEKIT_EMULATED_GPU describes it, words
// with a space between them:
//
//   cc=8.7 driver=12060 name=... multiprocessors=8 integrated=1 devices=1   what it is; these are the defaults
//   concurrent=0      whether the CPU may touch managed memory meanwhile; default: where it is not integrated
//   memory=BYTES      how much device and managed memory there is
//   hasty=1           what no event keeps from it runs before what is waited for
//   reversed=1        blocks and threads run in the opposite order
//   fail=FUNCTION:RESULT[:N]   the call of that function fails so; N calls go well before; 700 and 719 are faults
//   launches=FILE     gets a line for every kernel that has run, its name
//   fault=KERNEL      that kernel faults: every later call fails with 700, as after an illegal address
//
// It is as lazy as it may be: launches and copies run when they are waited for, and those of another stream only if an
// event says so. Device memory cannot be touched by the CPU, managed memory not while something is under way (an
// integrated GPU without concurrent access): who does gets a segmentation fault. Memory ends at a page that nobody may
// touch.

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/driver.h"
#include "emulator.h"

namespace {

using namespace edgekit::cuda;

constexpr Result kNotFound = 500, kNotReady = 3, kNoDevice = 100, kIllegalAddress = 700, kLaunchFailed = 719, kTooLargeCooperative = 720;
constexpr size_t kPage = 4096;

std::string setting(const char *name, const char *otherwise) {
  const char *text = std::getenv("EDGEKIT_EMULATED_GPU");
  const std::string words = std::string(" ") + (text != nullptr ? text : "") + " ", key = std::string(" ") + name + "=";
  const size_t place = words.find(key);
  if (place == std::string::npos) return otherwise;
  const size_t begin = place + key.size();
  return words.substr(begin, words.find(' ', begin) - begin);
}
long long number(const char *name, const char *otherwise) { return std::stoll(setting(name, otherwise)); }

struct Memory {
  char *pages;
  size_t size;  // of the pages that may be touched
  bool managed;
};

struct EmulatedStream {
  std::vector<std::function<Result()>> work;  // in order
  size_t done = 0;
};

struct EmulatedEvent {
  EmulatedStream *stream = nullptr;
  size_t place = 0;      // what must be done in the stream
  long long rounds = 0;  // Gpu's, when it was recorded
};

struct Gpu {
  std::recursive_mutex mutex;
  std::vector<EmulatedStream *> streams;
  long long rounds = 0;  // how often everything was done
  std::map<uintptr_t, Memory> memory;  // by the address that was given
  std::map<void *, size_t> pinned;
  size_t used = 0;
  std::map<std::string, long long> calls;
  Result broken = kSuccess;
} gpu;

void protect(bool device, bool managed) {
  for (auto &[address, memory] : gpu.memory)
    mprotect(memory.pages, memory.size, (memory.managed ? managed : device) ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// Nothing runs any more.
void break_down(Result result) {
  gpu.broken = result;
  for (EmulatedStream *stream : gpu.streams) stream->done = stream->work.size();
  protect(false, true);
}

// The result with which a function is to fail now.
Result failure(const char *function) {
  if (gpu.broken != kSuccess) return gpu.broken;
  const std::string text = setting("fail", "");
  const size_t colon = text.find(':');
  if (colon == std::string::npos || text.substr(0, colon) != function) return kSuccess;
  const size_t second = text.find(':', colon + 1);
  const long long before = second == std::string::npos ? 0 : std::stoll(text.substr(second + 1));
  if (gpu.calls[function]++ < before) return kSuccess;
  const Result result = std::stoi(text.substr(colon + 1));
  if (result == kIllegalAddress || result == kLaunchFailed) break_down(result);
  return result;
}

#define EDGEKIT_ENTER(function)                                 \
  const std::lock_guard<std::recursive_mutex> lock(gpu.mutex);  \
  if (const Result failed = failure(function); failed != kSuccess) return failed

bool concurrent() { return number("concurrent", number("integrated", "1") == 0 ? "1" : "0") != 0; }

bool is_idle() {
  for (const EmulatedStream *stream : gpu.streams)
    if (stream->done < stream->work.size()) return false;
  return true;
}

EmulatedStream &stream_of(Stream stream) { return *reinterpret_cast<EmulatedStream *>(stream); }

void add_work(Stream stream, std::function<Result()> work) {
  stream_of(stream).work.push_back(std::move(work));
  protect(false, concurrent());
}

Result run_to(EmulatedStream &stream, size_t place) {
  while (stream.done < place && gpu.broken == kSuccess) {
    const Result result = stream.work[stream.done++]();
    if (result != kSuccess && gpu.broken == kSuccess) gpu.broken = result;
  }
  return gpu.broken;
}

Result finish(EmulatedStream &stream) {
  protect(true, true);
  if (number("hasty", "0") != 0)
    for (EmulatedStream *other : gpu.streams)
      if (other != &stream) run_to(*other, other->work.size());
  const Result result = run_to(stream, stream.work.size());
  if (result != kSuccess) break_down(result);
  const bool idle = is_idle();
  if (idle) {
    ++gpu.rounds;
    for (EmulatedStream *each : gpu.streams) {
      each->work.clear();
      each->done = 0;
    }
  }
  protect(false, idle || concurrent());
  return result;
}

Result allocate(DevicePointer *given, size_t bytes, bool managed) {
  if (bytes == 0) return kInvalidValue;
  const size_t size = (bytes + kPage - 1) / kPage * kPage;
  if (gpu.used + size > static_cast<size_t>(number("memory", "8000000000"))) return kOutOfMemory;
  void *pages = mmap(nullptr, size + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return kOutOfMemory;
  std::memset(pages, 0xff, size);  // NaN: what was not written must not be read
  mprotect(static_cast<char *>(pages) + size, kPage, PROT_NONE);
  if (!managed) mprotect(pages, size, PROT_NONE);
  const uintptr_t address = reinterpret_cast<uintptr_t>(pages) + (size - (bytes + 255) / 256 * 256);
  gpu.memory[address] = {static_cast<char *>(pages), size, managed};
  gpu.used += size;
  *given = address;
  return kSuccess;
}

Result launch_kernel(Function function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
                     unsigned shared_bytes, Stream stream, void **params, bool cooperative) {
  const auto *kernel = reinterpret_cast<const emulated::Kernel *>(function);
  if (x == 0 || y == 0 || z != 1 || bx == 0 || bx % 32 != 0 || by != 1 || bz != 1 || y > 65535) return kInvalidValue;
  if (bx > kernel->most_threads || shared_bytes > 48 * 1024 + gpu.calls[std::string("shared ") + kernel->name])
    return kInvalidValue;
  if (cooperative && x * y > static_cast<unsigned>(number("multiprocessors", "8")) * 2) return kTooLargeCooperative;
  const std::string argument(static_cast<const char *>(params[0]), kernel->params_size);
  const emulated::Launch launch{kernel, x, y, bx, shared_bytes, cooperative, number("reversed", "0") != 0};
  add_work(stream, [=] {
    if (setting("fault", "") == kernel->name) return kIllegalAddress;
    alignas(64) char copy[4096];
    std::memcpy(copy, argument.data(), argument.size());
    emulated::run(launch, copy);
    if (const std::string path = setting("launches", ""); !path.empty()) {
      std::FILE *file = std::fopen(path.c_str(), "a");
      std::fprintf(file, "%s\n", kernel->name);
      std::fclose(file);
    }
    return kSuccess;
  });
  return kSuccess;
}

}  // namespace

#define EDGEKIT_DRIVER extern "C" __attribute__((visibility("default"))) Result

EDGEKIT_DRIVER cuInit(unsigned) {
  EDGEKIT_ENTER("cuInit");
  return number("devices", "1") > 0 ? kSuccess : kNoDevice;
}
EDGEKIT_DRIVER cuDriverGetVersion(int *version) {
  EDGEKIT_ENTER("cuDriverGetVersion");
  *version = static_cast<int>(number("driver", "12060"));
  return kSuccess;
}
EDGEKIT_DRIVER cuDeviceGetCount(int *count) {
  EDGEKIT_ENTER("cuDeviceGetCount");
  *count = static_cast<int>(number("devices", "1"));
  return kSuccess;
}
EDGEKIT_DRIVER cuDeviceGet(Device *device, int ordinal) {
  EDGEKIT_ENTER("cuDeviceGet");
  *device = ordinal;
  return ordinal < number("devices", "1") ? kSuccess : kInvalidValue;
}
EDGEKIT_DRIVER cuDeviceGetName(char *name, int size, Device) {
  EDGEKIT_ENTER("cuDeviceGetName");
  std::snprintf(name, static_cast<size_t>(size), "%s", setting("name", "emulated").c_str());
  return kSuccess;
}
EDGEKIT_DRIVER cuDeviceGetAttribute(int *value, int attribute, Device) {
  EDGEKIT_ENTER("cuDeviceGetAttribute");
  const std::string cc = setting("cc", "8.7");
  const size_t dot = cc.find('.');
  const std::map<int, int> values = {{kSharedBytesOfBlock, 163 * 1024},
                                     {kMultiprocessors, static_cast<int>(number("multiprocessors", "8"))},
                                     {kIntegrated, static_cast<int>(number("integrated", "1"))},
                                     {kMajor, std::stoi(cc.substr(0, dot))},
                                     {kMinor, std::stoi(cc.substr(dot + 1))},
                                     {kManagedMemory, 1},
                                     {kConcurrentManagedAccess, concurrent()},
                                     {kCooperativeLaunch, 1}};
  const auto found = values.find(attribute);
  if (found == values.end()) return kInvalidValue;
  *value = found->second;
  return kSuccess;
}
EDGEKIT_DRIVER cuDevicePrimaryCtxRetain(Context *context, Device) {
  EDGEKIT_ENTER("cuDevicePrimaryCtxRetain");
  *context = reinterpret_cast<Context>(&gpu);
  return kSuccess;
}
EDGEKIT_DRIVER cuCtxPushCurrent_v2(Context) {
  EDGEKIT_ENTER("cuCtxPushCurrent_v2");
  return kSuccess;
}
EDGEKIT_DRIVER cuCtxPopCurrent_v2(Context *context) {
  EDGEKIT_ENTER("cuCtxPopCurrent_v2");
  *context = reinterpret_cast<Context>(&gpu);
  return kSuccess;
}
EDGEKIT_DRIVER cuModuleLoadData(Module *module, const void *image) {
  EDGEKIT_ENTER("cuModuleLoadData");
  if (image == nullptr) return kInvalidValue;
  *module = reinterpret_cast<Module>(&gpu);
  return kSuccess;
}
EDGEKIT_DRIVER cuModuleUnload(Module) { return kSuccess; }
EDGEKIT_DRIVER cuModuleGetFunction(Function *function, Module, const char *name) {
  EDGEKIT_ENTER("cuModuleGetFunction");
  *function = reinterpret_cast<Function>(const_cast<emulated::Kernel *>(emulated::find_kernel(name)));
  return *function != nullptr ? kSuccess : kNotFound;
}
EDGEKIT_DRIVER cuFuncSetAttribute(Function function, int attribute, int value) {
  EDGEKIT_ENTER("cuFuncSetAttribute");
  const auto *kernel = reinterpret_cast<const emulated::Kernel *>(function);
  if (attribute == kFunctionSharedBytes) gpu.calls[std::string("shared ") + kernel->name] = value;
  return kSuccess;
}
EDGEKIT_DRIVER cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Function, int, size_t) {
  EDGEKIT_ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor");
  *blocks = 2;
  return kSuccess;
}
EDGEKIT_DRIVER cuStreamCreate(Stream *stream, unsigned) {
  EDGEKIT_ENTER("cuStreamCreate");
  gpu.streams.push_back(new EmulatedStream);
  *stream = reinterpret_cast<Stream>(gpu.streams.back());
  return kSuccess;
}
EDGEKIT_DRIVER cuStreamSynchronize(Stream stream) {
  EDGEKIT_ENTER("cuStreamSynchronize");
  return finish(stream_of(stream));
}
EDGEKIT_DRIVER cuEventCreate(Event *event, unsigned) {
  EDGEKIT_ENTER("cuEventCreate");
  *event = reinterpret_cast<Event>(new EmulatedEvent);
  return kSuccess;
}
EDGEKIT_DRIVER cuEventRecord(Event event, Stream stream) {
  EDGEKIT_ENTER("cuEventRecord");
  *reinterpret_cast<EmulatedEvent *>(event) = {&stream_of(stream), stream_of(stream).work.size(), gpu.rounds};
  return kSuccess;
}
EDGEKIT_DRIVER cuStreamWaitEvent(Stream stream, Event event, unsigned) {
  EDGEKIT_ENTER("cuStreamWaitEvent");
  const EmulatedEvent awaited = *reinterpret_cast<EmulatedEvent *>(event);
  add_work(stream, [=] {
    // What was recorded before everything was done is done.
    const bool is_done = awaited.stream == nullptr || awaited.rounds != gpu.rounds;
    return is_done ? kSuccess : run_to(*awaited.stream, awaited.place);
  });
  return kSuccess;
}
EDGEKIT_DRIVER cuMemGetInfo_v2(size_t *free, size_t *total) {
  EDGEKIT_ENTER("cuMemGetInfo_v2");
  *total = static_cast<size_t>(number("memory", "8000000000"));
  *free = *total - gpu.used;
  return kSuccess;
}
EDGEKIT_DRIVER cuMemAlloc_v2(DevicePointer *memory, size_t bytes) {
  EDGEKIT_ENTER("cuMemAlloc_v2");
  return allocate(memory, bytes, false);
}
EDGEKIT_DRIVER cuMemAllocManaged(DevicePointer *memory, size_t bytes, unsigned) {
  EDGEKIT_ENTER("cuMemAllocManaged");
  return allocate(memory, bytes, true);
}
EDGEKIT_DRIVER cuMemFree_v2(DevicePointer memory) {
  EDGEKIT_ENTER("cuMemFree_v2");
  for (EmulatedStream *stream : gpu.streams) finish(*stream);  // as CUDA does
  const auto found = gpu.memory.find(memory);
  if (found == gpu.memory.end()) return kInvalidValue;
  munmap(found->second.pages, found->second.size + kPage);
  gpu.used -= found->second.size;
  gpu.memory.erase(found);
  return kSuccess;
}
EDGEKIT_DRIVER cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  EDGEKIT_ENTER("cuMemHostAlloc");
  *memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  if (*memory == nullptr) return kOutOfMemory;
  gpu.pinned[*memory] = bytes;
  return kSuccess;
}
EDGEKIT_DRIVER cuMemFreeHost(void *memory) {
  EDGEKIT_ENTER("cuMemFreeHost");
  if (gpu.pinned.erase(memory) == 0) return kInvalidValue;
  std::free(memory);
  return kSuccess;
}
EDGEKIT_DRIVER cuMemcpyHtoDAsync_v2(DevicePointer to, const void *from, size_t bytes, Stream stream) {
  EDGEKIT_ENTER("cuMemcpyHtoDAsync_v2");
  // Of pageable memory CUDA takes a copy before it returns; it may read pinned memory later.
  const auto pinned = gpu.pinned.upper_bound(const_cast<void *>(from));
  const bool later = pinned != gpu.pinned.begin() &&
                     static_cast<const char *>(from) < static_cast<char *>(std::prev(pinned)->first) + std::prev(pinned)->second;
  const std::string copy(static_cast<const char *>(from), later ? 0 : bytes);
  add_work(stream, [=] {
    std::memcpy(reinterpret_cast<void *>(to), later ? from : copy.data(), bytes);
    return kSuccess;
  });
  return kSuccess;
}
EDGEKIT_DRIVER cuMemcpyDtoHAsync_v2(void *to, DevicePointer from, size_t bytes, Stream stream) {
  EDGEKIT_ENTER("cuMemcpyDtoHAsync_v2");
  add_work(stream, [=] {
    std::memcpy(to, reinterpret_cast<const void *>(from), bytes);
    return kSuccess;
  });
  return kSuccess;
}
EDGEKIT_DRIVER cuMemsetD8Async(DevicePointer memory, unsigned char value, size_t bytes, Stream stream) {
  EDGEKIT_ENTER("cuMemsetD8Async");
  add_work(stream, [=] {
    std::memset(reinterpret_cast<void *>(memory), value, bytes);
    return kSuccess;
  });
  return kSuccess;
}
EDGEKIT_DRIVER cuMemsetD32Async(DevicePointer memory, unsigned value, size_t words, Stream stream) {
  EDGEKIT_ENTER("cuMemsetD32Async");
  add_work(stream, [=] {
    for (size_t word = 0; word < words; ++word) std::memcpy(reinterpret_cast<unsigned *>(memory) + word, &value, 4);
    return kSuccess;
  });
  return kSuccess;
}
EDGEKIT_DRIVER cuLaunchKernel(Function function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared_bytes, Stream stream, void **params, void **) {
  EDGEKIT_ENTER("cuLaunchKernel");
  return launch_kernel(function, x, y, z, bx, by, bz, shared_bytes, stream, params, false);
}
EDGEKIT_DRIVER cuLaunchCooperativeKernel(Function function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by,
                                         unsigned bz, unsigned shared_bytes, Stream stream, void **params) {
  EDGEKIT_ENTER("cuLaunchCooperativeKernel");
  return launch_kernel(function, x, y, z, bx, by, bz, shared_bytes, stream, params, true);
}
EDGEKIT_DRIVER cuGetErrorString(Result result, const char **text) {
  switch (result) {
    case kSuccess: *text = "no error"; return kSuccess;
    case kInvalidValue: *text = "invalid argument"; return kSuccess;
    case kOutOfMemory: *text = "out of memory"; return kSuccess;
    case kNoBinaryForGpu: *text = "no kernel image is available for execution on the device"; return kSuccess;
    case kIllegalAddress: *text = "an illegal memory access was encountered"; return kSuccess;
    default: *text = "an emulated failure"; return kSuccess;
  }
}
