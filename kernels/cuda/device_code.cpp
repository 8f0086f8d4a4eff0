#include "device_code.h"

#include <cstdio>
#include <cstring>

#include "code.h"

namespace edgekit::cuda {
namespace {

constexpr int kMostDevices = 64;
// Block memory that a kernel may have without being asked for.
constexpr size_t kUsualShared = 48 << 10;

}  // namespace

const char *result_text(const Driver &driver, Result result) {
  const char *text = nullptr;
  if (driver.get_error_string(result, &text) != kSuccess || text == nullptr) return "unknown error";
  return text;
}

DeviceCode *DeviceCode::find(int ordinal, const char *&reason) {
  static std::mutex mutex;
  static DeviceCode *found[kMostDevices];
  static bool usable[kMostDevices];
  if (ordinal < 0 || ordinal >= kMostDevices) {
    reason = "there is no such GPU";
    return nullptr;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  if (found[ordinal] == nullptr) {
    found[ordinal] = new DeviceCode;  // never deleted: the driver may be gone before
    usable[ordinal] = found[ordinal]->open(ordinal);
  }
  reason = found[ordinal]->error_;
  return usable[ordinal] ? found[ordinal] : nullptr;
}

bool DeviceCode::refuse(const char *why, Result result) {
  if (result == kSuccess) {
    std::snprintf(error_, sizeof error_, "%s", why);
  } else {
    std::snprintf(error_, sizeof error_, "%s (%s, %d)", why, result_text(*driver_, result), result);
  }
  return false;
}

bool DeviceCode::open(int ordinal) {
  const char *reason = nullptr;
  driver_ = find_driver(reason);
  if (driver_ == nullptr) return refuse(reason);
  int count = 0;
  Result result = driver_->init(0);
  if (result == kSuccess) result = driver_->device_get_count(&count);
  if (result == kSuccess && count > ordinal) result = driver_->device_get(&device_, ordinal);
  if (result != kSuccess || count < 1) return refuse("CUDA's driver finds no GPU", result);
  if (count <= ordinal) return refuse("CUDA's driver finds fewer GPUs");
  int cooperative = 0, shared_bytes = 0;
  const struct {
    int attribute;
    int &value;
  } asked[] = {{kMajor, limits_.major},
               {kMinor, limits_.minor},
               {kMultiprocessors, limits_.multiprocessors},
               {kSharedBytesOfBlock, shared_bytes},
               {kCooperativeLaunch, cooperative}};
  for (const auto &[attribute, value] : asked)
    if (result == kSuccess) result = driver_->device_get_attribute(&value, attribute, device_);
  if (result == kSuccess) result = driver_->driver_get_version(&driver_version_);
  if (result != kSuccess) return refuse("the GPU does not say what it has", result);
  limits_.shared_bytes = static_cast<size_t>(shared_bytes);
  cooperative_ = cooperative != 0;
  const Image *image = find_image(limits_.major, limits_.minor, driver_version_, reason);
  if (image == nullptr) return refuse(reason);
  result = driver_->primary_context_retain(&context_, device_);
  if (result == kSuccess) result = driver_->context_push(context_);
  if (result != kSuccess) {
    release_image();
    return refuse("the GPU's context cannot be had", result);
  }
  result = driver_->module_load_data(&module_, image->data);
  release_image();
  Context mine = nullptr;
  driver_->context_pop(&mine);
  return result == kSuccess || refuse("the driver does not take this library's GPU code", result);
}

Result DeviceCode::prepare(const char *kernel, size_t shared_bytes, Function &function) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Known *known = nullptr;
  for (int place = 0; place < known_count_ && known == nullptr; ++place)
    if (known_[place].name == kernel || std::strcmp(known_[place].name, kernel) == 0) known = &known_[place];
  if (known == nullptr) {
    if (known_count_ == kMostKernels) return kInvalidValue;
    Function found = nullptr;
    if (const Result result = driver_->module_get_function(&found, module_, kernel); result != kSuccess) return result;
    known = &known_[known_count_++];
    *known = {kernel, found, kUsualShared};
  }
  if (shared_bytes > known->shared_bytes) {
    const int bytes = static_cast<int>(shared_bytes);
    const Result result = driver_->function_set_attribute(known->function, kFunctionSharedBytes, bytes);
    if (result != kSuccess) return result;
    known->shared_bytes = shared_bytes;
  }
  function = known->function;
  return kSuccess;
}

Result DeviceCode::launch(const char *kernel, const Shape &shape, const void *params, Stream stream) {
  Function function = nullptr;
  if (const Result result = prepare(kernel, shape.shared_bytes, function); result != kSuccess) return result;
  void *arguments[] = {const_cast<void *>(params)};
  const auto shared_bytes = static_cast<unsigned>(shape.shared_bytes);
  return shape.cooperative ? driver_->launch_cooperative(function, shape.blocks_x, shape.blocks_y, 1, shape.threads, 1,
                                                         1, shared_bytes, stream, arguments)
                           : driver_->launch(function, shape.blocks_x, shape.blocks_y, 1, shape.threads, 1, 1,
                                             shared_bytes, stream, arguments, nullptr);
}

Result DeviceCode::resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes, unsigned &blocks) {
  blocks = 0;
  if (!cooperative_) return kSuccess;
  Function function = nullptr;
  int each = 0;
  Result result = prepare(kernel, shared_bytes, function);
  if (result == kSuccess)
    result = driver_->resident_blocks(&each, function, static_cast<int>(threads), shared_bytes);
  if (result == kSuccess) blocks = static_cast<unsigned>(each * limits_.multiprocessors);
  return result;
}

}  // namespace edgekit::cuda
