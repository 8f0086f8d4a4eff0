// The GPU code that the library carries: machine code and PTX for several GPUs.
#pragma once

#include <cstddef>

namespace edgekit::cuda {

// What kernels/cmake/gpu_code.py wrote; empty in a library without GPU code.
struct Code {
  const unsigned char *data;
  size_t size;
};
Code embedded_code();

struct Image {
  const void *data;
  size_t size;
};

// The image for a GPU of this compute capability under a driver of this version (12060 for 12.6); nullptr, and why, if
// the library has none for it. One thread at a time: image and reason are good until the next call.
const Image *find_image(int major, int minor, int driver, const char *&reason);
// Gives back the image's memory, once the driver has it.
void release_image();

}  // namespace edgekit::cuda
