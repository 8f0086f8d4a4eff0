// Operators for tflite-runtime 2.14, by its exported C++ function for registering them.

#include <dlfcn.h>

#include <array>
#include <mutex>
#include <utility>

#include "edgekit/litert.h"
#include "last_error.h"
#include "model_file.h"
#include "tflite_node.h"

namespace edgekit::litert_binding {
namespace {

// An operator that is registered by name learns of a node's options, but not of the name. So every name that a process
// has registered has a function of its own.
constexpr size_t kSlots = 64;
std::mutex mutex;
std::array<std::string, kSlots> codes;

template <size_t Slot>
void *init_slot(tflite::Context *context, const char *, size_t) {
  TfliteNode *made = nullptr;
  const auto report = [&](const char *sentence) { context->ReportError(context, "%s", sentence); };
  guarded(
      [&] {
        auto node = std::make_unique<TfliteNode>();
        node->code = codes[Slot];
        node->kernel = make_kernel(node->code);
        made = node.release();
      },
      report);
  return made;
}

using Init = void *(*)(tflite::Context *, const char *, size_t);
template <size_t... Slots>
constexpr std::array<Init, kSlots> inits(std::index_sequence<Slots...>) {
  return {init_slot<Slots>...};
}

tflite::Registration registration(const std::string &code) {
  static constexpr std::array<Init, kSlots> kInits = inits(std::make_index_sequence<kSlots>());
  const std::lock_guard<std::mutex> lock(mutex);
  size_t slot = 0;
  while (slot < kSlots && !codes[slot].empty() && codes[slot] != code) ++slot;
  if (slot == kSlots) throw failure("edgekit: a process has room for %zu different operators.", kSlots);
  codes[slot] = code;
  tflite::Registration made{};
  made.init = kInits[slot];
  made.free = free_node;
  made.prepare = prepare_node;
  made.invoke = invoke_node;
  made.builtin_code = tflite::kCustom;
  return made;
}

}  // namespace
}  // namespace edgekit::litert_binding

using namespace edgekit::litert_binding;

extern "C" int edgekit_litert_register(void *resolver, const char *tflite_file) {
  const auto body = [&] {
    // tflite::MutableOpResolver::AddCustom(const char *, const TfLiteRegistration *, int)
    constexpr char kAddCustom[] = "_ZN6tflite17MutableOpResolver9AddCustomEPKcPK18TfLiteRegistrationi";
    const auto add = reinterpret_cast<void (*)(void *, const char *, const tflite::Registration *, int)>(
        dlsym(RTLD_DEFAULT, kAddCustom));
    if (add == nullptr)
      throw failure("edgekit: this runtime does not export tflite::MutableOpResolver::AddCustom, or was not loaded with "
                    "RTLD_GLOBAL: take the delegate (load_delegate) instead.");
    for (const std::string &code : custom_codes(tflite_file)) {
      if (!is_ours(code.c_str())) continue;
      make_kernel(code);  // what is not there is said now
      const tflite::Registration made = registration(code);
      add(resolver, code.c_str(), &made, 1);
    }
  };
  return guarded(body, set_last_error) ? 0 : -1;
}
