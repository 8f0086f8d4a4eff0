// SHA-256's compression of whole blocks (FIPS 180-4, 6.2.2), by the CPU's own instructions where it has them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit {

// Takes `count` blocks of 64 bytes into the eight words of the state.
void add_blocks(uint32_t *state, const uint8_t *blocks, size_t count);

}  // namespace edgekit
