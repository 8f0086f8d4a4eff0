// CUDA's driver, opened at run time: libcuda.so.1 comes with the GPU's driver, and nothing of CUDA is needed to build.
//
// Prototypes are written from the CUDA Driver API's reference; names here are those there without their prefix.
#pragma once

#include <cstddef>

namespace edgekit::cuda {

using Result = int;  // CUresult; 0 is success
using Device = int;
using DevicePointer = unsigned long long;
using Context = struct ContextTag *;
using Module = struct ModuleTag *;
using Function = struct FunctionTag *;
using Stream = struct StreamTag *;
using Event = struct EventTag *;

// Results and attributes that are asked for by number.
constexpr Result kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoBinaryForGpu = 209;
constexpr int kSharedBytesOfBlock = 97;  // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
constexpr int kMultiprocessors = 16, kIntegrated = 18, kMajor = 75, kMinor = 76, kManagedMemory = 83;
constexpr int kConcurrentManagedAccess = 89, kCooperativeLaunch = 95;
constexpr int kFunctionSharedBytes = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr unsigned kAttachGlobal = 1;    // CU_MEM_ATTACH_GLOBAL
constexpr unsigned kNonBlocking = 1;     // CU_STREAM_NON_BLOCKING
constexpr unsigned kNoTiming = 2;        // CU_EVENT_DISABLE_TIMING
constexpr unsigned kPortable = 1;        // CU_MEMHOSTALLOC_PORTABLE

// X(member, symbol, arguments)
#define EDGEKIT_CUDA_DRIVER(X)                                                                                         \
  X(init, "cuInit", (unsigned flags))                                                                                  \
  X(driver_get_version, "cuDriverGetVersion", (int *version))                                                          \
  X(device_get_count, "cuDeviceGetCount", (int *count))                                                                \
  X(device_get, "cuDeviceGet", (Device *device, int ordinal))                                                          \
  X(device_get_name, "cuDeviceGetName", (char *name, int size, Device device))                                         \
  X(device_get_attribute, "cuDeviceGetAttribute", (int *value, int attribute, Device device))                          \
  X(primary_context_retain, "cuDevicePrimaryCtxRetain", (Context * context, Device device))                            \
  X(context_push, "cuCtxPushCurrent_v2", (Context context))                                                            \
  X(context_pop, "cuCtxPopCurrent_v2", (Context * context))                                                            \
  X(module_load_data, "cuModuleLoadData", (Module * module, const void *image))                                        \
  X(module_unload, "cuModuleUnload", (Module module))                                                                  \
  X(module_get_function, "cuModuleGetFunction", (Function * function, Module module, const char *name))                \
  X(function_set_attribute, "cuFuncSetAttribute", (Function function, int attribute, int value))                       \
  X(resident_blocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                                    \
    (int *blocks, Function function, int threads, size_t shared_bytes))                                                \
  X(stream_create, "cuStreamCreate", (Stream * stream, unsigned flags))                                                \
  X(stream_synchronize, "cuStreamSynchronize", (Stream stream))                                                        \
  X(stream_wait_event, "cuStreamWaitEvent", (Stream stream, Event event, unsigned flags))                              \
  X(event_create, "cuEventCreate", (Event * event, unsigned flags))                                                    \
  X(event_record, "cuEventRecord", (Event event, Stream stream))                                                       \
  X(memory_get_info, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                                 \
  X(memory_allocate, "cuMemAlloc_v2", (DevicePointer * memory, size_t bytes))                                          \
  X(memory_allocate_managed, "cuMemAllocManaged", (DevicePointer * memory, size_t bytes, unsigned flags))              \
  X(memory_free, "cuMemFree_v2", (DevicePointer memory))                                                               \
  X(host_allocate, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                                    \
  X(host_free, "cuMemFreeHost", (void *memory))                                                                        \
  X(copy_to_device, "cuMemcpyHtoDAsync_v2", (DevicePointer to, const void *from, size_t bytes, Stream stream))         \
  X(copy_to_host, "cuMemcpyDtoHAsync_v2", (void *to, DevicePointer from, size_t bytes, Stream stream))                 \
  X(clear, "cuMemsetD8Async", (DevicePointer memory, unsigned char value, size_t bytes, Stream stream))                \
  X(fill_words, "cuMemsetD32Async", (DevicePointer memory, unsigned value, size_t words, Stream stream))                \
  X(launch, "cuLaunchKernel",                                                                                          \
    (Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,         \
     unsigned block_z, unsigned shared_bytes, Stream stream, void **params, void **extra))                             \
  X(launch_cooperative, "cuLaunchCooperativeKernel",                                                                   \
    (Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,         \
     unsigned block_z, unsigned shared_bytes, Stream stream, void **params))                                           \
  X(get_error_string, "cuGetErrorString", (Result result, const char **text))

struct Driver {
#define EDGEKIT_MEMBER(member, symbol, arguments) Result(*member) arguments = nullptr;
  EDGEKIT_CUDA_DRIVER(EDGEKIT_MEMBER)
#undef EDGEKIT_MEMBER
};

// The driver, opened once; nullptr, and why, if there is none or it is too old to have what is needed.
const Driver *find_driver(const char *&reason);
bool has_driver();

}  // namespace edgekit::cuda
