#include "choice.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "ops/common/error.h"

namespace edgekit::cuda {
namespace {

constexpr const char *kNames[EDGEKIT_GPU_OPERATORS] = {"sparse_topk", "kv_append", "sparse_topk_attention",
                                                       "sea_estimate", "csr_matmul"};

std::atomic<int> forced{EDGEKIT_GPU_ENVIRONMENT};
std::atomic<int64_t> least[EDGEKIT_GPU_OPERATORS] = {{-1}, {-1}, {-1}, {-1}, {-1}};

edgekit_gpu_use environment() {
  static const edgekit_gpu_use found = [] {
    const char *text = std::getenv("EDGEKIT_GPU");
    if (text != nullptr && std::strcmp(text, "0") == 0) return EDGEKIT_GPU_NEVER;
    if (text != nullptr && std::strcmp(text, "1") == 0) return EDGEKIT_GPU_ALWAYS;
    return EDGEKIT_GPU_WHERE_IT_PAYS;
  }();
  return found;
}

std::mutex saying;
void (*taker)(void *user, const char *sentence) = nullptr;
void *taker_user = nullptr;
bool said[3] = {};

}  // namespace

const char *name_of(Operator op) { return kNames[static_cast<int>(op)]; }

edgekit_gpu_use use() {
  const auto wanted = static_cast<edgekit_gpu_use>(forced.load(std::memory_order_relaxed));
  return wanted == EDGEKIT_GPU_ENVIRONMENT ? environment() : wanted;
}

int64_t least_work(Operator op) { return least[static_cast<int>(op)].load(std::memory_order_relaxed); }

void say_once(Said what, const char *sentence) {
  const std::lock_guard<std::mutex> lock(saying);
  bool &before = said[static_cast<int>(what)];
  if (before) return;
  before = true;
  if (what == Said::failed) said[static_cast<int>(Said::not_to_be_had)] = true;  // then that is why
  if (taker != nullptr) {
    taker(taker_user, sentence);
  } else {
    std::fprintf(stderr, "edgekit: %s\n", sentence);
  }
}

}  // namespace edgekit::cuda

using namespace edgekit::cuda;

void edgekit_use_gpu(edgekit_gpu_use use) { forced.store(use, std::memory_order_relaxed); }

edgekit_gpu_use edgekit_gpu_used(void) { return use(); }

void edgekit_gpu_log(void (*take)(void *user, const char *sentence), void *user) {
  const std::lock_guard<std::mutex> lock(saying);
  taker = take;
  taker_user = user;
}

const char *edgekit_gpu_operator(int place) {
  return place >= 0 && place < EDGEKIT_GPU_OPERATORS ? kNames[place] : nullptr;
}

edgekit_status edgekit_gpu_least_work(const char *operation, int64_t work) {
  for (int place = 0; place < EDGEKIT_GPU_OPERATORS; ++place) {
    if (std::strcmp(kNames[place], operation) != 0) continue;
    least[place].store(work, std::memory_order_relaxed);
    return EDGEKIT_OK;
  }
  edgekit::set_error("there is no operator %s for a GPU: edgekit_gpu_operator names those that there are.", operation);
  return EDGEKIT_INVALID_ARGUMENT;
}
