#include "allocations.h"

#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

// glibc's own, under the names that it keeps for those who stand in front.
extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
}

namespace {

struct Library {
  std::atomic<const void *> base{nullptr};
  std::atomic<long> count{0};
};
Library libraries[64];
std::atomic<bool> counting{false};

void count_for(const void *caller) {
  if (!counting.load(std::memory_order_relaxed)) return;
  Dl_info info = {};
  const void *base = dladdr(caller, &info) != 0 ? info.dli_fbase : &libraries;
  for (Library &library : libraries) {
    const void *known = nullptr;
    if (library.base.compare_exchange_strong(known, base) || known == base) {
      ++library.count;
      return;
    }
  }
}

}  // namespace

std::map<std::string, long> allocations::counted(const std::function<void()> &body) {
  for (Library &library : libraries) library.count = 0;
  counting = true;
  body();
  counting = false;
  std::map<std::string, long> found;
  for (const Library &library : libraries) {
    Dl_info info = {};
    if (library.count == 0) continue;
    const std::string path = dladdr(library.base, &info) != 0 ? info.dli_fname : "unknown";
    found[path.substr(path.rfind('/') + 1)] += library.count;
  }
  return found;
}

#define EDGEKIT_COUNT() count_for(__builtin_return_address(0))

extern "C" {
void *malloc(size_t size) {
  EDGEKIT_COUNT();
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  EDGEKIT_COUNT();
  return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
  EDGEKIT_COUNT();
  return __libc_realloc(memory, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  EDGEKIT_COUNT();
  return __libc_memalign(alignment, size);
}
void *memalign(size_t alignment, size_t size) {
  EDGEKIT_COUNT();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **memory, size_t alignment, size_t size) {
  EDGEKIT_COUNT();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}

// Of libraries with the C++ library linked in, malloc above sees the calls; of the others, it would see the C++ library.
void *operator new(size_t size) {
  EDGEKIT_COUNT();
  if (void *memory = __libc_malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }
