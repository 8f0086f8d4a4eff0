// Host memory that has a copy on the device.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "driver.h"

namespace edgekit::cuda {

class Gpu;

struct Mirror {
  enum class Kind { temporary, constant, state };

  uintptr_t host;
  size_t bytes;
  DevicePointer device;
  Kind kind;
  bool is_current;  // the device has what the host has, or something newer
  bool is_newer;    // the device has what the host has not
  int event;        // of a newer one: which of the queue's calls wrote it
};

// Of one GPU, whose turn the calling thread has.
//
// A temporary one lives until the hand-over, which brings back what is newer: operators in between find what others
// before them wrote. A constant one lives until it is forgotten; so does a state's, which comes back when it is fetched.
class Mirrors {
 public:
  // Memory whose mirrors are to stay.
  void keep(const void *memory, size_t bytes, bool is_state);
  // Gives their device memory back; the GPU is done with it.
  void forget(Gpu &gpu, const void *memory);

  // The mirror that has all of this memory, copied to the device if it is `read` and not there yet. nullptr if there is
  // no device memory, or if part of it has a newer mirror that does not have all of it.
  Mirror *find(Gpu &gpu, const void *memory, size_t bytes, bool read, bool written);
  // Whether it has been said to be kept.
  bool is_kept(const void *memory, size_t bytes) const;

  // Whether the device has anything newer of this memory in a temporary mirror; of any state.
  bool has_newer(const void *memory, size_t bytes) const;
  bool has_newer_state() const;
  // Whether there are any of states; without a turn too.
  bool has_states() const { return state_count_ > 0; }
  // Asks for newer temporary ones to be copied back.
  bool fetch_temporaries(Gpu &gpu);
  // Brings back states that lie in this memory. False if they are lost, which they stay.
  bool fetch_states(Gpu &gpu, const void *memory, size_t bytes);
  // The CPU changes states in this memory.
  void outdate_states(const void *memory, size_t bytes);
  void drop_temporaries() { temporaries_.clear(); }

 private:
  struct Kept {
    size_t bytes;
    bool is_state;
  };
  const Kept *kept_around(uintptr_t host, size_t bytes) const;

  static constexpr size_t kMost = 512;  // temporary ones at once; their places stay

  std::map<uintptr_t, Kept> kept_;
  std::multimap<uintptr_t, Mirror> constants_;
  std::map<uintptr_t, Mirror> states_;
  std::atomic<size_t> state_count_{0};
  std::vector<Mirror> temporaries_;
};

}  // namespace edgekit::cuda
