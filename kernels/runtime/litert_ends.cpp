#include "litert_ends.h"

#include <climits>
#include <cstring>
#include <utility>

#include "core/dtype.h"
#include "core/failure.h"

namespace edgekit::litert {
namespace {

// LiteRT takes memory that begins at a multiple of this only.
constexpr uintptr_t kAlignment = 64;
// Kernels read whole vectors, beyond the end.
constexpr size_t kReadBeyond = 16;

// Numbers of element types, in the order of DType.
constexpr int32_t kElements[] = {1, 10, 11, 9, 3, 7, 2, 4, 6};
constexpr int32_t kInt32 = 2;

int32_t element_of(DType dtype) { return kElements[static_cast<size_t>(dtype)]; }

}  // namespace

End::End(const Functions &litert, const std::string &folder, const std::string &what, const TensorType &type,
         DType dtype, const std::vector<int64_t> &shape, bool dynamic)
    : litert_(litert),
      what_(what),
      type_(type),
      dtype_(dtype),
      size_(size_of(dtype)),
      narrowed_(dtype == DType::int64 && type.element == kInt32),
      dynamic_(dynamic) {
  bool fits = (narrowed_ || type.element == element_of(dtype)) && type.layout.rank == shape.size();
  for (size_t dimension = 0; fits && dimension < shape.size(); ++dimension) {
    const int32_t size = type.layout.sizes[dimension];
    fits = dynamic && dimension == 0 ? size == -1 : size == shape[dimension];
  }
  if (!fits)
    throw Failure(format("%s is another in the program of %s than in its manifest: export it again.", what.c_str(),
                         folder.c_str()));
  if (narrowed_) size_ = sizeof(int32_t);
  if (dynamic_) set_rows(shape[0]);
  type_.layout.has_strides = 0;
}

End::End(End &&other) noexcept
    : litert_(other.litert_),
      what_(std::move(other.what_)),
      type_(other.type_),
      dtype_(other.dtype_),
      size_(other.size_),
      narrowed_(other.narrowed_),
      dynamic_(other.dynamic_),
      copy_(std::move(other.copy_)),
      buffer_(std::exchange(other.buffer_, nullptr)),
      memory_(other.memory_),
      viewed_(other.viewed_) {}

End::~End() { release(); }

void End::release() {
  if (buffer_ != nullptr) litert_.destroy_buffer(buffer_);
  buffer_ = nullptr;
}

size_t End::count() const {
  size_t count = 1;
  for (unsigned dimension = 0; dimension < type_.layout.rank; ++dimension)
    count *= static_cast<size_t>(type_.layout.sizes[dimension]);
  return count;
}

size_t End::bytes() const { return count() * size_; }

bool End::takes(const void *memory) const {
  return !narrowed_ && reinterpret_cast<uintptr_t>(memory) % kAlignment == 0;
}

void *End::room(Heap &heap) {
  if (copy_.size() < bytes() + kReadBeyond) {
    release();
    copy_ = Block();
    copy_ = Block(heap, bytes() + kReadBeyond);
  }
  return copy_.data();
}

Buffer End::view(void *memory) {
  if (buffer_ != nullptr && memory == memory_ && bytes() == viewed_) return buffer_;
  release();
  if (litert_.create_buffer(&type_, memory, bytes(), nullptr, &buffer_) != kOk) {
    buffer_ = nullptr;
    throw Failure(format("LiteRT does not take the memory of %s.", what_.c_str()));
  }
  memory_ = memory;
  viewed_ = bytes();
  return buffer_;
}

Buffer End::take(const Tensor &input, Heap &heap) {
  if (takes(input.data)) return view(input.data);
  void *copy = room(heap);
  if (!narrowed_) {
    std::memcpy(copy, input.data, bytes());
    return view(copy);
  }
  const int64_t *wide = static_cast<const int64_t *>(input.data);
  int32_t *narrow = static_cast<int32_t *>(copy);
  for (size_t index = 0; index < count(); ++index) {
    if (wide[index] < INT32_MIN || wide[index] > INT32_MAX)
      throw UsageFailure(format("%s has the number %lld: this program takes numbers from -2^31 to 2^31 - 1.",
                                what_.c_str(), static_cast<long long>(wide[index])));
    narrow[index] = static_cast<int32_t>(wide[index]);
  }
  return view(copy);
}

Buffer End::give(const Tensor &output, Heap &heap) { return view(takes(output.data) ? output.data : room(heap)); }

void End::finish(const Tensor &output) const {
  if (memory_ == output.data) return;
  if (!narrowed_) {
    std::memcpy(output.data, memory_, bytes());
    return;
  }
  const int32_t *narrow = static_cast<const int32_t *>(memory_);
  int64_t *wide = static_cast<int64_t *>(output.data);
  for (size_t index = 0; index < count(); ++index) wide[index] = narrow[index];
}

}  // namespace edgekit::litert
