// malloc and its kin, mmap and munmap, in front of the C library's: every library that the program loads finds these
// first. They count, and hand on.

#include "heap_count.h"

// A sanitizer has its own in front.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

// The C library's own, under the names that it keeps for those who stand in front.
extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);
}

namespace edgekit {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

void raise(std::atomic<int64_t> &most, int64_t now) {
  int64_t before = most.load(kRelaxed);
  while (now > before && !most.compare_exchange_weak(before, now, kRelaxed)) {
  }
}

void count_heap(int64_t change) {
  const int64_t now = counted.heap.fetch_add(change, kRelaxed) + change;
  if (change <= 0) return;
  raise(counted.heap_peak, now);
  raise(counted.peak, now + counted.maps.load(kRelaxed));
}

void count_maps(int64_t change) {
  const int64_t now = counted.maps.fetch_add(change, kRelaxed) + change;
  if (change > 0) raise(counted.peak, now + counted.heap.load(kRelaxed));
}

int64_t size_of(void *memory) { return memory == nullptr ? 0 : static_cast<int64_t>(malloc_usable_size(memory)); }

int64_t whole_pages(size_t size) {
  const auto page = static_cast<size_t>(getpagesize());
  return static_cast<int64_t>((size + page - 1) / page * page);
}

void *taken(void *memory) {
  count_heap(size_of(memory));
  return memory;
}

}  // namespace

}  // namespace edgekit

#define EDGEKIT_IN_FRONT __attribute__((visibility("default")))

extern "C" {

EDGEKIT_IN_FRONT void *malloc(size_t size) { return edgekit::taken(__libc_malloc(size)); }

EDGEKIT_IN_FRONT void *calloc(size_t count, size_t size) { return edgekit::taken(__libc_calloc(count, size)); }

EDGEKIT_IN_FRONT void *realloc(void *memory, size_t size) {
  const int64_t before = edgekit::size_of(memory);
  void *moved = __libc_realloc(memory, size);
  if (moved != nullptr || size == 0) edgekit::count_heap(edgekit::size_of(moved) - before);
  return moved;
}

EDGEKIT_IN_FRONT void free(void *memory) {
  edgekit::count_heap(-edgekit::size_of(memory));
  __libc_free(memory);
}

EDGEKIT_IN_FRONT void *memalign(size_t alignment, size_t size) {
  return edgekit::taken(__libc_memalign(alignment, size));
}

EDGEKIT_IN_FRONT void *aligned_alloc(size_t alignment, size_t size) {
  return edgekit::taken(__libc_memalign(alignment, size));
}

EDGEKIT_IN_FRONT int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  const int before = errno;
  void *found = edgekit::taken(__libc_memalign(alignment, size));
  errno = before;
  if (found == nullptr) return ENOMEM;
  *memory = found;
  return 0;
}

EDGEKIT_IN_FRONT void *mmap(void *place, size_t size, int protection, int flags, int file, off_t offset) {
  const long found = syscall(SYS_mmap, place, size, protection, flags, file, offset);
  if (found != -1) edgekit::count_maps(edgekit::whole_pages(size));
  return reinterpret_cast<void *>(found);
}

EDGEKIT_IN_FRONT void *mmap64(void *place, size_t size, int protection, int flags, int file, off64_t offset) {
  return mmap(place, size, protection, flags, file, offset);
}

EDGEKIT_IN_FRONT int munmap(void *place, size_t size) noexcept {
  const long failed = syscall(SYS_munmap, place, size);
  if (failed == 0) edgekit::count_maps(-edgekit::whole_pages(size));
  return static_cast<int>(failed);
}

}  // extern "C"

#endif

edgekit::HeapCount edgekit::counted;
