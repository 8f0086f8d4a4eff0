// The file of GPU code (kernels/cmake/gpu_code.py), as it is. Nobody reads it, and it takes no memory, where there is no
// GPU. It has a section of its own, by which it is found in the library.
#include "code.h"

asm(".pushsection .edgekit_gpu_code, \"a\"\n"
    ".balign 16\n"
    ".globl edgekit_gpu_code\n"
    ".hidden edgekit_gpu_code\n"
    "edgekit_gpu_code:\n"
#ifdef EDGEKIT_GPU_CODE
    ".incbin \"" EDGEKIT_GPU_CODE "\"\n"
#endif
    ".globl edgekit_gpu_code_end\n"
    ".hidden edgekit_gpu_code_end\n"
    "edgekit_gpu_code_end:\n"
    ".popsection\n");

extern "C" __attribute__((visibility("hidden"))) const unsigned char edgekit_gpu_code[], edgekit_gpu_code_end[];

namespace edgekit::cuda {

Code embedded_code() {
  return {edgekit_gpu_code, static_cast<size_t>(edgekit_gpu_code_end - edgekit_gpu_code)};
}

}  // namespace edgekit::cuda
