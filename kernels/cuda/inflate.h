// Decompression of a zlib stream (RFC 1950 and 1951), so that the library needs no other for its GPU code.
#pragma once

#include <cstddef>

namespace edgekit::cuda {

// Fills `size` bytes at `to`. False if the stream is damaged or holds another number of bytes; then some may be written.
bool inflate(const unsigned char *stream, size_t length, unsigned char *to, size_t size);

}  // namespace edgekit::cuda
