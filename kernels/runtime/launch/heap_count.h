// What the program edgekit-run counts while libraries work: memory from malloc and its kin, and files that they map.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace edgekit {

// Bytes held now, and the most that were held at once since start_peak(). Blocks count with the C library's rounding, as
// free() gives it back; maps with whole pages.
struct HeapCount {
  std::atomic<int64_t> heap{0}, maps{0};
  std::atomic<int64_t> heap_peak{0}, peak{0};  // of the heap; of both together

  void start_peak() {
    heap_peak = heap.load();
    peak = heap.load() + maps.load();
  }
};

// This program's.
extern HeapCount counted;

}  // namespace edgekit
