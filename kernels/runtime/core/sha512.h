// SHA-512 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace edgekit {

class Sha512 {
 public:
  void add(const void *data, size_t size);
  // The digest; nothing may be added afterwards.
  std::array<uint8_t, 64> digest();

 private:
  void add_block(const uint8_t *block);

  // The first 64 bits of the fractional parts of the square roots of the first 8 primes (FIPS 180-4, 5.3.5).
  std::array<uint64_t, 8> state_ = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b,
                                    0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                    0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                    0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  std::array<uint8_t, 128> rest_ = {};
  uint64_t size_ = 0;
};

}  // namespace edgekit
