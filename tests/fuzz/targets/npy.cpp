// numpy's arrays: for programs that take tensors, and as series.

#include "edgekit/npy.h"

#include "edgekit/series.h"
#include "file.h"

using namespace edgekit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string path = fuzz::write("a.npy", data, size);
  if (const NpyArrayPointer array = NpyArray::read(path.c_str())) {
    size_t bytes = size_of(array->dtype());
    for (int axis = 0; axis < array->rank(); ++axis) bytes *= static_cast<size_t>(array->shape()[axis]);
    if (bytes > 0) static_cast<volatile char *>(array->data())[bytes - 1] = 1;
  } else {
    fuzz::expect_sentence();
  }
  if (!Series::read(path.c_str())) fuzz::expect_sentence();
  return 0;
}
