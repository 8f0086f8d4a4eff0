#include "heap.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "edgekit/gpu.h"

namespace edgekit {

void *Heap::take(size_t size, size_t alignment) noexcept {
  if (size > PTRDIFF_MAX) return nullptr;  // rounded up, it would be small again
  void *memory = nullptr;
  if (allocator_.allocate != nullptr) {
    memory = allocator_.allocate(allocator_.user, size, alignment);
  } else {
    memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  if (memory != nullptr) used_.fetch_add(size, std::memory_order_relaxed);
  return memory;
}

void Heap::give_back(void *memory, size_t size) noexcept {
  if (memory == nullptr) return;
  used_.fetch_sub(size, std::memory_order_relaxed);
  if (allocator_.allocate != nullptr) {
    allocator_.release(allocator_.user, memory, size);
  } else {
    std::free(memory);
  }
}

void *Heap::take_shared(size_t size) noexcept {
  if (!uses_gpu_ || allocator_.allocate != nullptr) return nullptr;
  void *memory = edgekit_gpu_allocate(size);
  if (memory == nullptr) return nullptr;
  used_.fetch_add(size, std::memory_order_relaxed);
  shared_.fetch_add(size, std::memory_order_relaxed);
  return memory;
}

void Heap::give_back_shared(void *memory, size_t size) noexcept {
  used_.fetch_sub(size, std::memory_order_relaxed);
  shared_.fetch_sub(size, std::memory_order_relaxed);
  edgekit_gpu_release(memory);
}

Block::Block(Heap &heap, size_t size, bool is_shared) : heap_(&heap), size_(size) {
  if (size == 0) return;
  if (is_shared) data_ = static_cast<uint8_t *>(heap.take_shared(size));
  is_shared_ = data_ != nullptr;
  if (is_shared_) return;
  data_ = static_cast<uint8_t *>(heap.take(size, kAlignment));
  if (data_ == nullptr) throw std::bad_alloc();
}

Block::~Block() {
  if (heap_ == nullptr) return;
  if (is_shared_) {
    heap_->give_back_shared(data_, size_);
  } else {
    heap_->give_back(data_, size_);
  }
}

void Block::fill_zero() noexcept {
  if (size_ > 0) std::memset(data_, 0, size_);
}

}  // namespace edgekit
