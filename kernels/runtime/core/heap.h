// A session's memory: the caller's allocator, or the system's, and what was taken from it. Where operators go to a GPU,
// some of it is the GPU's as well (edgekit/gpu.h); a caller's allocator is asked for that too.
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

  // Whether operators of the session go to a GPU; set before anything is taken.
  bool uses_gpu() const { return uses_gpu_; }
  void use_gpu() { uses_gpu_ = true; }
  // As take() and give_back(), of memory that a GPU works on too; nullptr where that is not to be had.
  void *take_shared(size_t size) noexcept;
  void give_back_shared(void *memory, size_t size) noexcept;
  // Bytes of used() that are shared.
  size_t shared() const { return shared_.load(std::memory_order_relaxed); }

 private:
  Allocator allocator_;
  bool uses_gpu_ = false;
  std::atomic<size_t> shared_{0};
  std::atomic<size_t> used_{0};
};

// A piece of a heap, aligned to kAlignment.
class Block {
 public:
  static constexpr size_t kAlignment = 64;

  Block() = default;
  // Throws std::bad_alloc. `is_shared`: where a GPU is used, it works on it too, if such memory is to be had.
  Block(Heap &heap, size_t size, bool is_shared = false);
  Block(Block &&other) noexcept { swap(other); }
  Block &operator=(Block &&other) noexcept {
    Block(std::move(other)).swap(*this);
    return *this;
  }
  ~Block();

  uint8_t *data() const { return data_; }
  size_t size() const { return size_; }
  bool is_shared() const { return is_shared_; }
  void fill_zero() noexcept;
  void swap(Block &other) noexcept {
    std::swap(heap_, other.heap_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(is_shared_, other.is_shared_);
  }

 private:
  Heap *heap_ = nullptr;
  uint8_t *data_ = nullptr;
  size_t size_ = 0;
  bool is_shared_ = false;
};

}  // namespace edgekit
