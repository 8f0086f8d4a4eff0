// stb's decoders of PNG, JPEG and BMP, and its encoder of PNG, from and to memory.
#pragma once

#include <cstddef>

#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

namespace edgekit {

// While it lives, the calling thread's decoder gets no piece of memory of more bytes than this, whatever a damaged file
// asks for: more fails as if there were none.
class DecoderLimit {
 public:
  explicit DecoderLimit(size_t bytes) noexcept;
  ~DecoderLimit();
  DecoderLimit(const DecoderLimit &) = delete;
  DecoderLimit &operator=(const DecoderLimit &) = delete;
};

}  // namespace edgekit
