// How host code launches kernels: in order, without waiting.
#pragma once

#include <cstddef>

namespace edgekit::cuda {

struct Shape {
  unsigned blocks_x = 1, blocks_y = 1;
  unsigned threads = 32;
  size_t shared_bytes = 0;  // of a block
  bool cooperative = false;  // all blocks are alive at once, and may meet (sync_grid)
};

// What the GPU has.
struct Limits {
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t shared_bytes = 0;  // that a block may ask for
};

class Queue {
 public:
  virtual const Limits &limits() const = 0;

  // Launches a kernel by its name with its one argument. False if it cannot be; then the queue keeps the reason, and
  // takes no further launch.
  template <typename Params>
  bool launch(const char *kernel, const Shape &shape, const Params &params) {
    return start(kernel, shape, &params, sizeof params);
  }

  // Device memory, aligned to 256 bytes, until the queue is handed over; nullptr if there is none. Not initialised.
  virtual void *scratch(size_t bytes) = 0;
  // Fills device memory with zeroes, in order with the launches.
  virtual bool clear(void *memory, size_t bytes) = 0;
  // How many blocks of a kernel are alive at once on the whole GPU: the most that a cooperative launch may have. 0 if
  // the kernel cannot run or cooperative launches are not to be had.
  virtual unsigned resident_blocks(const char *kernel, unsigned threads, size_t shared_bytes) = 0;

 protected:
  ~Queue() = default;
  virtual bool start(const char *kernel, const Shape &shape, const void *params, size_t size) = 0;
};

}  // namespace edgekit::cuda
