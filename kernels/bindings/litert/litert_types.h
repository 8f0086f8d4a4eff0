// LiteRT's structures in its C interface (libLiteRt.so, 2.x), as far as they are used.
#pragma once

#include <cstddef>
#include <cstdint>

struct LiteRtModelT;
struct LiteRtOptionsT;

namespace edgekit::litert {

constexpr int kOk = 0, kError = 1;
constexpr int kCustomOperator = 32;

struct Layout {
  uint32_t rank : 7, has_strides : 1;
  int32_t sizes[8];
  uint32_t strides[8];
};
static_assert(sizeof(Layout) == 68, "as LiteRT has it");

struct TensorType {
  int32_t element;  // TensorFlow Lite's number
  Layout layout;
};

struct BufferT;
using Buffer = BufferT *;

struct Kernel {
  int (*Init)(void *user, const void *options, size_t size);
  int (*GetOutputLayouts)(void *user, size_t inputs, const Layout *, size_t outputs, Layout *);
  int (*Run)(void *user, size_t inputs, const Buffer *, size_t outputs, Buffer *);
  int (*Destroy)(void *user);
};

}  // namespace edgekit::litert
