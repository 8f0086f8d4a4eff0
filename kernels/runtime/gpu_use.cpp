#include "gpu_use.h"

#include <algorithm>
#include <atomic>

#include "core/log.h"

namespace edgekit {
namespace {

constexpr char kNamespace[] = "edgekit::";
// Views, and what is computed of sizes and positions, are ExecuTorch's prim operators; one of them copies.
constexpr char kPrim[] = "executorch_prim::", kCopies[] = "executorch_prim::et_copy_index.tensor";
constexpr const char *kSizes[] = {"aten::sym_size.int", "aten::sym_numel", "aten::sym_stride.int"};

void log_sentence(void *, const char *sentence) { log(LogLevel::warning, sentence); }

// What the device's profile measured or reckoned.
bool take_least_work(const Bundle &bundle) {
  const JsonPart manifest = bundle.manifest();
  if (!manifest.has("gpu") || !manifest.part("gpu").has("least_work")) return false;
  const JsonPart least = manifest.part("gpu").part("least_work");
  if (!least.value().is_object()) throw manifest.part("gpu").wrong("least_work");
  bool is_any = false;
  for (const auto &entry : least.value().items())
    // What this library has no kernels for, a newer one may have.
    is_any = edgekit_gpu_least_work(entry.key().c_str(), least.integer(entry.key().c_str(), 0)) == EDGEKIT_OK || is_any;
  return is_any;
}

}  // namespace

bool runs_on_gpu(const std::string &instruction) {
  if (instruction.compare(0, sizeof kNamespace - 1, kNamespace) != 0) return false;
  const std::string name = instruction.substr(sizeof kNamespace - 1, instruction.find('.') - (sizeof kNamespace - 1));
  for (int place = 0; edgekit_gpu_operator(place) != nullptr; ++place)
    if (name == edgekit_gpu_operator(place)) return true;
  return false;
}

bool reads_no_tensor(const std::string &instruction) {
  return (instruction.compare(0, sizeof kPrim - 1, kPrim) == 0 && instruction != kCopies) ||
         std::find(std::begin(kSizes), std::end(kSizes), instruction) != std::end(kSizes);
}

bool prepare_gpu(const Bundle &bundle, const ProgramText &program) {
  const edgekit_gpu_use use = edgekit_gpu_used();
  if (use == EDGEKIT_GPU_NEVER || program.format != "pte" ||
      std::none_of(program.operators.begin(), program.operators.end(), runs_on_gpu))
    return false;
  const bool is_asked_for = take_least_work(bundle);
  if (!is_asked_for && use != EDGEKIT_GPU_ALWAYS) return false;
  edgekit_gpu_log(log_sentence, nullptr);
  edgekit_gpu gpu;
  if (edgekit_gpu_find(&gpu)) {
    log(LogLevel::info, format("operators go to the GPU %s", gpu.name).c_str());
    return true;
  }
  // A bundle for a Jetson may run where there is no GPU; one that cannot be used is another matter. Operators say
  // themselves that what was forced cannot be.
  static std::atomic<bool> was_said{false};
  if (use != EDGEKIT_GPU_ALWAYS && !was_said.exchange(true))
    log(edgekit_gpu_has_driver() ? LogLevel::warning : LogLevel::info,
        format("no GPU is used, the CPU computes: %s", edgekit_gpu_reason()).c_str());
  return false;
}

}  // namespace edgekit
