#include <cstdlib>

namespace {

// Enough for what is read of a header.
constexpr std::size_t kFirstLimit = 1 << 20;
thread_local std::size_t limit = kFirstLimit;

void *take(std::size_t size) { return size > limit ? nullptr : std::malloc(size); }
void *take_again(void *memory, std::size_t size) { return size > limit ? nullptr : std::realloc(memory, size); }

}  // namespace

#define STBI_MALLOC(size) take(size)
#define STBI_REALLOC(memory, size) take_again(memory, size)
#define STBI_FREE(memory) std::free(memory)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include "stb.h"

namespace edgekit {

DecoderLimit::DecoderLimit(size_t bytes) noexcept { limit = bytes; }

DecoderLimit::~DecoderLimit() { limit = kFirstLimit; }

}  // namespace edgekit
