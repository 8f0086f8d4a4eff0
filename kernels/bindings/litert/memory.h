// Memory that operators borrow for one call: it grows to what the largest call needed, and stays.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace edgekit::litert_binding {

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { std::free(data_); }

  // At least `size` bytes, aligned to 64; what was in it is lost. Throws std::bad_alloc.
  void *take(size_t size) {
    if (size <= size_) return data_;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
    const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
    data_ = std::aligned_alloc(kAlignment, rounded);
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = rounded;
    return data_;
  }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kAlignment = 64;

  void *data_ = nullptr;
  size_t size_ = 0;
};

// The operator's own scratch, and indices on their way between int32 and int64.
struct Scratch {
  Buffer work, indices, more_indices;

  size_t size() const { return work.size() + indices.size() + more_indices.size(); }
};

}  // namespace edgekit::litert_binding
