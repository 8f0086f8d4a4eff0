#include "isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace edgekit {
namespace {

struct Named {
  const char *name;
  Isa isa;
};
constexpr Named kNames[] = {{"avx2", Isa::kAvx2}, {"neon", Isa::kNeon}, {"scalar", Isa::kScalar}};

bool cpu_has(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#else
      return false;
#endif
    case Isa::kNeon:
#if defined(__aarch64__)
      return true;  // part of the baseline
#else
      return false;
#endif
  }
  return false;
}

constexpr int kUnset = -1, kMissing = -2;
std::atomic<int> active{kUnset};

int choose(const char *wanted) {
  for (const Named &named : kNames) {
    const bool fits = wanted == nullptr || std::strcmp(wanted, named.name) == 0;
    if (fits && cpu_has(named.isa)) return static_cast<int>(named.isa);
  }
  return kMissing;
}

int active_or_choose() {
  int isa = active.load(std::memory_order_relaxed);
  if (isa == kUnset) {
    const char *wanted = std::getenv("EDGEKIT_ISA");
    isa = choose(wanted != nullptr && *wanted != '\0' ? wanted : nullptr);
    active.store(isa, std::memory_order_relaxed);
  }
  return isa;
}

}  // namespace

bool active_isa(Isa &isa) {
  const int chosen = active_or_choose();
  if (chosen == kMissing) {
    const char *wanted = std::getenv("EDGEKIT_ISA");
    set_error("EDGEKIT_ISA is \"%s\", which is not an instruction set of this CPU and library: unset it, or use scalar.",
              wanted != nullptr ? wanted : "");
    return false;
  }
  isa = static_cast<Isa>(chosen);
  return true;
}

}  // namespace edgekit

const char *edgekit_isa(void) {
  edgekit::Isa isa;
  if (!edgekit::active_isa(isa)) return nullptr;
  for (const auto &named : edgekit::kNames)
    if (named.isa == isa) return named.name;
  return nullptr;
}

edgekit_status edgekit_use_isa(const char *name) {
  if (name == nullptr) {
    edgekit::active.store(edgekit::kUnset, std::memory_order_relaxed);
    return EDGEKIT_OK;
  }
  const int isa = edgekit::choose(name);
  if (isa == edgekit::kMissing) {
    edgekit::set_error("\"%s\" is not an instruction set of this CPU and library: use scalar, avx2 or neon.", name);
    return EDGEKIT_UNSUPPORTED_ISA;
  }
  edgekit::active.store(isa, std::memory_order_relaxed);
  return EDGEKIT_OK;
}

int edgekit_ops_version(void) { return EDGEKIT_OPS_VERSION; }
