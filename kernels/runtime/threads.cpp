#include "threads.h"

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "core/failure.h"
#include "edgekit/session.h"
#include "executorch_engine.h"

namespace edgekit {
namespace {

std::shared_mutex pool;
std::atomic<unsigned> changes{0};

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

std::string cores_text(const cpu_set_t &cores) {
  std::string text;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &cores)) text += (text.empty() ? "" : ", ") + std::to_string(core);
  return text;
}

std::unique_lock<std::shared_mutex> claim_pool() {
  std::unique_lock<std::shared_mutex> lock(pool, std::try_to_lock);
  if (!lock) throw UsageFailure("a session is running: change its threads before or after.");
  return lock;
}

}  // namespace

unsigned thread_changes() { return changes; }

Running::Running() { pool.lock_shared(); }

Running::~Running() { pool.unlock_shared(); }

bool set_threads(int count) noexcept {
  return guarded([&] {
    if (count < 0) throw UsageFailure(format("%d threads: give 1 or more, or 0 for one a core.", count));
    const auto lock = claim_pool();
    ++changes;
    set_pool_threads(count == 0 ? usable_cores() : count);
    return true;
  });
}

bool set_cores(const int *cores, int count) noexcept {
  return guarded([&] {
    if (count < 1) throw UsageFailure("no cores to run on: give one or more.");
    cpu_set_t wanted, before, given;
    CPU_ZERO(&wanted);
    for (int index = 0; index < count; ++index) {
      if (cores[index] < 0 || cores[index] >= CPU_SETSIZE)
        throw UsageFailure(format("there is no core %d.", cores[index]));
      CPU_SET(cores[index], &wanted);
    }
    const auto lock = claim_pool();
    // New threads stand where the one stands that makes them, which works in the pool too and so stays there.
    if (sched_getaffinity(0, sizeof before, &before) != 0 || sched_setaffinity(0, sizeof wanted, &wanted) != 0)
      throw UsageFailure(format("this process may not run on those cores (%s): give others, it has %s.",
                                std::strerror(errno), cores_text(before).c_str()));
    // Linux leaves out what is not there.
    if (sched_getaffinity(0, sizeof given, &given) == 0 && !CPU_EQUAL(&given, &wanted)) {
      sched_setaffinity(0, sizeof before, &before);
      throw UsageFailure(format("this process has cores %s, %d were asked for that are not among them: give others.",
                                cores_text(before).c_str(), CPU_COUNT(&wanted) - CPU_COUNT(&given)));
    }
    ++changes;
    set_pool_threads(count);
    return true;
  });
}

int threads() noexcept {
  return guarded([] { return pool_threads(); });
}

}  // namespace edgekit
