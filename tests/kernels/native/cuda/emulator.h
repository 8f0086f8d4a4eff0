// Runs kernels that were compiled for the CPU (emulated_device.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit::cuda::emulated {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
// Of the fiber that runs.
extern Index threadIdx, blockIdx, blockDim, gridDim;

// A kernel, known by its name from the start of the process.
struct Kernel {
  Kernel(const char *name, size_t params_size, unsigned most_threads, void (*run)(const void *params));

  const char *name;
  size_t params_size;
  unsigned most_threads;
  void (*run)(const void *params);
  const Kernel *next;
};
// nullptr: there is none.
const Kernel *find_kernel(const char *name);

struct Launch {
  const Kernel *kernel;
  unsigned blocks_x, blocks_y, threads;
  size_t shared_bytes;
  bool cooperative;
  bool reversed;  // the order in which blocks and threads run
};
// Runs a launch to its end. Ends the process with a sentence where threads wait for others that will not come.
void run(const Launch &launch, const void *params);

// What device functions need.
[[noreturn]] void fail(const char *sentence);  // ends the process
void *block_memory(size_t size);
void meet_block();
void meet_warp();
void meet_grid(unsigned *arrived, unsigned *round);
int count_in_block(bool mine);
uint64_t exchange(uint64_t mine, unsigned lane);
uint32_t ballot(bool mine);

}  // namespace edgekit::cuda::emulated
