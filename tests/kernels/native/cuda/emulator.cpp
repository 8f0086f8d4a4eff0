#include "emulator.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace edgekit::cuda::emulated {

Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = 64 << 10;

const Kernel *&first_kernel() {
  static const Kernel *first = nullptr;
  return first;
}

[[noreturn]] void end(const char *sentence, const char *kernel) {
  std::fprintf(stderr, "emulated GPU: %s: %s\n", kernel, sentence);
  std::abort();
}

// A context that can be left and entered again.
#if defined(__x86_64__)
// The registers that a call keeps, and the stack.
extern "C" void edgekit_switch_stack(void **from, void *to);
asm(R"(
.text
.globl edgekit_switch_stack
.hidden edgekit_switch_stack
edgekit_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
struct Context {
  void *stack = nullptr;
  void prepare(char *memory, size_t size, void (*entry)()) {
    auto *top = reinterpret_cast<void **>((reinterpret_cast<uintptr_t>(memory) + size) & ~uintptr_t{15});
    *--top = nullptr;  // a call's stack is 8 off a multiple of 16
    *--top = reinterpret_cast<void *>(entry);
    for (int kept = 0; kept < 6; ++kept) *--top = nullptr;
    stack = top;
  }
  static void change(Context &from, Context &to) { edgekit_switch_stack(&from.stack, to.stack); }
};
#else
struct Context {
  ucontext_t context;
  void prepare(char *memory, size_t size, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = memory;
    context.uc_stack.ss_size = size;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  static void change(Context &from, Context &to) { swapcontext(&from.context, &to.context); }
};
#endif

enum class Wait { none, warp, block, grid, ended };

struct Fiber {
  Context context;
  Wait wait = Wait::none;
  unsigned thread = 0;
  unsigned turn = 0;  // of the two places that it exchanges at
};

struct Warp {
  uint64_t places[2][kWarp];
  unsigned waiting = 0;
};

struct Block {
  Index index;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::unique_ptr<char[]> memory;
  unsigned waiting = 0, at_grid = 0, ended = 0;
  int count = 0, counted = 0;
};

struct Stacks {
  char *memory = nullptr;
  size_t count = 0;
  char *get(size_t wanted) {
    if (wanted > count) {
      if (memory != nullptr) munmap(memory, count * kStack);
      count = wanted;
      void *made = mmap(nullptr, count * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (made == MAP_FAILED) end("no memory for stacks", "");
      memory = static_cast<char *>(made);
    }
    return memory;
  }
} stacks;

const Launch *launched;
const void *argument;
Context scheduler;
Block *block;
Fiber *fiber;

void leave(Wait wait) {
  fiber->wait = wait;
  Context::change(fiber->context, scheduler);
}

void enter_kernel() {
  launched->kernel->run(argument);
  leave(Wait::ended);
  std::abort();
}

void start(Block &made, unsigned x, unsigned y, char *memory) {
  made.index = {x, y, 0};
  made.fibers = std::vector<Fiber>(launched->threads);
  made.warps = std::vector<Warp>(launched->threads / kWarp);
  const size_t size = (launched->shared_bytes + 15) / 16 * 16;
  made.memory.reset(new char[size + 16]);
  std::memset(made.memory.get(), 0xff, size + 16);  // what was not written must not be read
  for (unsigned thread = 0; thread < launched->threads; ++thread) {
    made.fibers[thread].thread = thread;
    made.fibers[thread].context.prepare(memory + thread * kStack, kStack, enter_kernel);
  }
}

// Runs what can run of a block; whether anything did.
bool advance(Block &mine) {
  block = &mine;
  bool ran = false;
  const unsigned threads = launched->threads;
  for (unsigned place = 0; place < threads; ++place) {
    Fiber &next = mine.fibers[launched->reversed ? threads - 1 - place : place];
    if (next.wait != Wait::none) continue;
    ran = true;
    fiber = &next;
    blockIdx = mine.index;
    threadIdx = {next.thread, 0, 0};
    Context::change(scheduler, next.context);
    Warp &warp = mine.warps[next.thread / kWarp];
    if (next.wait == Wait::warp && ++warp.waiting == kWarp) {
      warp.waiting = 0;
      const unsigned first = next.thread / kWarp * kWarp;
      for (unsigned lane = 0; lane < kWarp; ++lane) mine.fibers[first + lane].wait = Wait::none;
    }
    mine.waiting += next.wait == Wait::block;
    mine.at_grid += next.wait == Wait::grid;
    mine.ended += next.wait == Wait::ended;
    if (mine.waiting == threads) {
      mine.waiting = 0;
      mine.counted = mine.count;
      mine.count = 0;
      for (Fiber &other : mine.fibers) other.wait = Wait::none;
    }
  }
  return ran;
}

}  // namespace

Kernel::Kernel(const char *name, size_t params_size, unsigned most_threads, void (*run)(const void *params))
    : name(name), params_size(params_size), most_threads(most_threads), run(run), next(first_kernel()) {
  first_kernel() = this;
}

const Kernel *find_kernel(const char *name) {
  for (const Kernel *kernel = first_kernel(); kernel != nullptr; kernel = kernel->next)
    if (std::strcmp(kernel->name, name) == 0) return kernel;
  return nullptr;
}

void run(const Launch &launch, const void *params) {
  launched = &launch;
  argument = params;
  blockDim = {launch.threads, 1, 1};
  gridDim = {launch.blocks_x, launch.blocks_y, 1};
  const unsigned count = launch.blocks_x * launch.blocks_y;
  const unsigned alive = launch.cooperative ? count : 1;
  char *memory = stacks.get(static_cast<size_t>(alive) * launch.threads);
  std::vector<Block> blocks(alive);
  for (unsigned first = 0; first < count; first += alive) {
    for (unsigned at = 0; at < alive; ++at) {
      const unsigned place = launch.reversed ? count - 1 - (first + at) : first + at;
      blocks[at] = Block();
      start(blocks[at], place % launch.blocks_x, place / launch.blocks_x, memory + at * kStack * launch.threads);
    }
    for (;;) {
      bool ran = false;
      unsigned ended = 0, at_grid = 0;
      for (Block &each : blocks) {
        while (advance(each)) ran = true;
        ended += each.ended;
        at_grid += each.at_grid;
      }
      if (ended == alive * launch.threads) break;
      if (at_grid == alive * launch.threads) {
        for (Block &each : blocks) {
          each.at_grid = 0;
          for (Fiber &other : each.fibers) other.wait = Wait::none;
        }
      } else if (!ran) {
        end("threads wait at a barrier that others do not come to", launch.kernel->name);
      }
    }
  }
}

void fail(const char *sentence) { end(sentence, launched->kernel->name); }

void *block_memory(size_t size) {
  if (size > launched->shared_bytes) end("the block's memory is smaller than what it asks for", launched->kernel->name);
  return reinterpret_cast<void *>((reinterpret_cast<uintptr_t>(block->memory.get()) + 15) / 16 * 16);
}

void meet_block() { leave(Wait::block); }
void meet_warp() { leave(Wait::warp); }

void meet_grid(unsigned *arrived, unsigned *round) {
  if (!launched->cooperative) end("sync_grid() in a launch that is not cooperative", launched->kernel->name);
  if (*arrived != 0 || *round != 0) end("a grid's barrier was not cleared", launched->kernel->name);
  leave(Wait::grid);
}

int count_in_block(bool mine) {
  block->count += mine;
  leave(Wait::block);
  return block->counted;
}

uint64_t exchange(uint64_t mine, unsigned lane) {
  // Two places in turn: who is ahead writes where nobody reads any more.
  Warp &warp = block->warps[fiber->thread / kWarp];
  auto &places = warp.places[fiber->turn ^= 1];
  places[fiber->thread % kWarp] = mine;
  leave(Wait::warp);
  return places[lane];
}

uint32_t ballot(bool mine) {
  Warp &warp = block->warps[fiber->thread / kWarp];
  auto &places = warp.places[fiber->turn ^= 1];
  places[fiber->thread % kWarp] = mine;
  leave(Wait::warp);
  uint32_t bits = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) bits |= static_cast<uint32_t>(places[lane]) << lane;
  return bits;
}

}  // namespace edgekit::cuda::emulated
