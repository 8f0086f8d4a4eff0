// A session's memory: the caller's allocator, or the system's, and what was taken from it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "edgekit/session.h"

namespace edgekit {

class Heap {
 public:
  explicit Heap(const Allocator &allocator) : allocator_(allocator) {}

  // nullptr when there is none.
  void *take(size_t size, size_t alignment) noexcept;
  void give_back(void *memory, size_t size) noexcept;
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  Allocator allocator_;
  std::atomic<size_t> used_{0};
};

// A piece of a heap, aligned to kAlignment.
class Block {
 public:
  static constexpr size_t kAlignment = 64;

  Block() = default;
  // Throws std::bad_alloc.
  Block(Heap &heap, size_t size);
  Block(Block &&other) noexcept { swap(other); }
  Block &operator=(Block &&other) noexcept {
    Block(std::move(other)).swap(*this);
    return *this;
  }
  ~Block();

  uint8_t *data() const { return data_; }
  size_t size() const { return size_; }
  void fill_zero() noexcept;
  void swap(Block &other) noexcept {
    std::swap(heap_, other.heap_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  Heap *heap_ = nullptr;
  uint8_t *data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace edgekit
