// A libcuda.so.1 of an old driver: it has the functions that CUDA began with.

#define EDGEKIT_DRIVER extern "C" __attribute__((visibility("default"))) int

EDGEKIT_DRIVER cuInit(unsigned) { return 0; }
EDGEKIT_DRIVER cuDriverGetVersion(int *version) {
  *version = 4000;
  return 0;
}
EDGEKIT_DRIVER cuDeviceGetCount(int *count) {
  *count = 1;
  return 0;
}
