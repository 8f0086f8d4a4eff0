#include "sha256.h"

#include <algorithm>
#include <cstring>

#include "sha256_blocks.h"

namespace edgekit {

void Sha256::add(const void *data, size_t size) {
  const uint8_t *from = static_cast<const uint8_t *>(data);
  size_t held = size_ % 64;
  size_ += size;
  while (size > 0) {
    if (held == 0 && size >= 64) {
      const size_t blocks = size / 64;
      add_blocks(state_.data(), from, blocks);
      from += 64 * blocks;
      size -= 64 * blocks;
      continue;
    }
    const size_t taken = std::min(size, 64 - held);
    std::memcpy(rest_.data() + held, from, taken);
    held += taken;
    from += taken;
    size -= taken;
    if (held == 64) {
      add_blocks(state_.data(), rest_.data(), 1);
      held = 0;
    }
  }
}

std::string Sha256::hex() {
  const uint64_t bits = size_ * 8;
  const uint8_t one = 0x80, zero = 0;
  add(&one, 1);
  while (size_ % 64 != 56) add(&zero, 1);
  uint8_t length[8];
  for (int byte = 0; byte < 8; ++byte) length[byte] = static_cast<uint8_t>(bits >> (56 - 8 * byte));
  add(length, 8);
  std::string digits;
  for (const uint32_t word : state_)
    for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[word >> shift & 15];
  return digits;
}

}  // namespace edgekit
