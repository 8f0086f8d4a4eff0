// Arrays from .npy files, for programs that take tensors.

#include "edgekit/npy.h"

#include <cstring>

#include "core/dtype.h"
#include "core/heap.h"
#include "core/npy_file.h"

namespace edgekit {

struct NpyArray::Impl {
  explicit Impl(const char *path) {
    NpyFile file(path);
    shape = file.shape();
    // The description begins with numpy's name.
    const std::string description = file.description();
    const std::string name = description.substr(0, description.find(' '));
    if (file.item_size() == 0 || !dtype_of(name, dtype) || shape.size() > kMostDimensions)
      throw Failure(format("%s holds %s: no program takes that, convert it.", path, description.c_str()));
    const size_t size = file.item_size();
    data = Block(heap, static_cast<size_t>(file.count()) * size);
    file.read([&](int64_t place, const uint8_t *item) {
      std::memcpy(data.data() + static_cast<size_t>(place) * size, item, size);
    });
  }

  Heap heap{Allocator()};
  Block data;
  DType dtype = DType::float32;
  std::vector<int64_t> shape;
};

NpyArrayPointer NpyArray::read(const char *path) noexcept {
  return guarded([&] { return NpyArrayPointer(new NpyArray(std::make_unique<Impl>(path))); });
}

NpyArray::NpyArray(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

NpyArray::~NpyArray() = default;

void NpyArrayDeleter::operator()(NpyArray *array) const noexcept { delete array; }

DType NpyArray::dtype() const noexcept { return impl_->dtype; }

int NpyArray::rank() const noexcept { return static_cast<int>(impl_->shape.size()); }

const int64_t *NpyArray::shape() const noexcept { return impl_->shape.data(); }

void *NpyArray::data() noexcept { return impl_->data.data(); }

}  // namespace edgekit
