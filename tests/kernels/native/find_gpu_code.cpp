// Picks an image of a file of GPU code, as the library does of its own:
//
//     find_gpu_code FILE MAJOR MINOR DRIVER
//
// writes the image to the standard output, or why there is none to the standard error.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "cuda/code.h"

namespace {
std::vector<char> content;
}

edgekit::cuda::Code edgekit::cuda::embedded_code() {
  return {reinterpret_cast<const unsigned char *>(content.data()), content.size()};
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  std::ifstream file(arguments[1], std::ios::binary);
  content.assign(std::istreambuf_iterator<char>(file), {});
  const char *reason = nullptr;
  const auto *image =
      edgekit::cuda::find_image(std::atoi(arguments[2]), std::atoi(arguments[3]), std::atoi(arguments[4]), reason);
  if (image == nullptr) {
    std::fputs(reason, stderr);
    return 1;
  }
  std::fwrite(image->data, 1, image->size, stdout);
  edgekit::cuda::release_image();
  return 0;
}
