// Keeps the libraries usable on systems older than the one that builds them.
//
// The C++ library that is linked in asks for arc4random (glibc 2.36) for std::random_device, which nothing here uses.
// A definition of our own takes its place, so that the loader on the device is not asked for it.
#include <cstdint>
#include <cstdlib>

extern "C" uint32_t arc4random() { std::abort(); }
