# Toolchain file: builds for arm64 Linux with Debian's g++-aarch64-linux-gnu.
#
#     cmake -S . -B build/arm64 --toolchain kernels/cmake/aarch64-linux-gnu.cmake && cmake --build build/arm64

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

# What pip calls this platform, and the user-mode emulator that runs what was built. Cortex-A76: Raspberry Pi 5's CPU.
set(EDGEKIT_PLATFORM manylinux_2_28_aarch64)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-cpu;cortex-a76;-L;/usr/aarch64-linux-gnu")
