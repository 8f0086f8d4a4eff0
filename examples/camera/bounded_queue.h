// A queue between two threads that never grows beyond its capacity.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

// What becomes of an item that finds the queue full: it waits for room, or the oldest one is dropped for it.
enum class WhenFull { wait, drop_oldest };

template <typename Item>
class BoundedQueue {
 public:
  // A capacity of 1 or more.
  BoundedQueue(size_t capacity, WhenFull when_full) : capacity_(capacity), when_full_(when_full) {}

  // False, and the item is dropped, once the queue is closed.
  bool push(Item item) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (when_full_ == WhenFull::wait) room_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
    if (closed_) {
      ++dropped_;
      return false;
    }
    if (items_.size() == capacity_) {
      items_.pop_front();
      ++dropped_;
    }
    items_.push_back(std::move(item));
    lock.unlock();
    more_.notify_one();
    return true;
  }

  // The oldest item; waits for one. None once the queue is closed and empty.
  std::optional<Item> pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    more_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    std::optional<Item> item(std::move(items_.front()));
    items_.pop_front();
    lock.unlock();
    room_.notify_one();
    return item;
  }

  // Nothing more comes; what is there is still given.
  void close() { end(false); }
  // Nothing more comes, and what is there is dropped.
  void abandon() { end(true); }

  // Items that were dropped so far.
  size_t dropped() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return dropped_;
  }

 private:
  void end(bool drop) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
      if (drop) {
        dropped_ += items_.size();
        items_.clear();
      }
    }
    more_.notify_all();
    room_.notify_all();
  }

  const size_t capacity_;
  const WhenFull when_full_;
  mutable std::mutex mutex_;
  std::condition_variable more_, room_;
  std::deque<Item> items_;
  size_t dropped_ = 0;
  bool closed_ = false;
};
