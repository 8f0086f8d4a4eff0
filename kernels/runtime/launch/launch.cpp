// edgekit-run: loads the libraries beside it, and hands over to the runner.
//
// It is linked to none of them: a library that is missing, cut off or too large for the memory that is left is then
// found here, with a sentence, and not by the system's loader before main().

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "heap_count.h"

namespace {

constexpr int kFailed = 1, kInterrupted = 130;
constexpr int kSignals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
int terminal = STDERR_FILENO;
// Blocks of this size and more go back to the system when they are freed. By itself the C library would soon keep them,
// in pieces that the next ones do not fit.
constexpr int kLargeBlock = 256 << 10;

// Where a library crashes while it is loaded: its file is damaged, or it ends the process for want of memory.
void say_and_end(int) {
  constexpr char kSentence[] =
      "edgekit-run: error: the libraries beside it are damaged, or there is too little memory for them: copy the bundle "
      "again, or close something.\n";
  // Nothing can be done where even that fails.
  if (write(terminal, kSentence, sizeof kSentence - 1) < 0) _exit(kFailed);
  _exit(kFailed);
}

// What a thread's stack reserves. Of the C library's 8 MiB nearly nothing is used, but a limit of a process' data
// (prlimit --data) counts all of it: more than the rest of a small bundle.
constexpr size_t kThreadStack = 1 << 20;

// Has threads that are started from now on reserve no more. Asked for by name: the C library before 2.34 has these
// functions in another library.
void reserve_little(void *library) {
  const auto set_size = reinterpret_cast<int (*)(pthread_attr_t *, size_t)>(dlsym(library, "pthread_attr_setstacksize"));
  const auto set_default =
      reinterpret_cast<int (*)(const pthread_attr_t *)>(dlsym(library, "pthread_setattr_default_np"));
  pthread_attr_t attributes;
  if (set_size == nullptr || set_default == nullptr || pthread_attr_init(&attributes) != 0) return;
  if (set_size(&attributes, kThreadStack) == 0) set_default(&attributes);
  pthread_attr_destroy(&attributes);
}

// Ctrl-C at any moment: a file that is being written has no name yet.
void say_interrupted(int) {
  constexpr char kSentence[] = "edgekit-run: interrupted; nothing half-written was left.\n";
  if (write(terminal, kSentence, sizeof kSentence - 1) < 0) _exit(kInterrupted);
  _exit(kInterrupted);
}

}  // namespace

int main(int count, char **arguments) {
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  // A shell lets its background jobs ignore it.
  if (std::signal(SIGINT, say_interrupted) == SIG_IGN) std::signal(SIGINT, SIG_IGN);
  for (const int signal : kSignals) std::signal(signal, say_and_end);
  // What libraries print when they give up is nothing that a user could act upon.
  terminal = dup(STDERR_FILENO);
  const int nowhere = open("/dev/null", O_WRONLY);
  if (terminal >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  void *library = dlopen("libedgekit_runner.so", RTLD_LAZY);
  if (library != nullptr) reserve_little(library);
  void *run = library == nullptr ? nullptr : dlsym(library, "edgekit_run");
  if (terminal >= 0) dup2(terminal, STDERR_FILENO);
  if (nowhere >= 0) close(nowhere);
  const int copy = terminal;
  terminal = STDERR_FILENO;
  if (copy >= 0) close(copy);
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  if (run == nullptr) {
    std::fprintf(stderr,
                 "edgekit-run: error: the libraries beside it cannot be loaded (%s): copy the bundle again, or close "
                 "something if memory is short.\n",
                 dlerror());
    return kFailed;
  }
  return reinterpret_cast<int (*)(int, char **, edgekit::HeapCount *)>(run)(count, arguments, &edgekit::counted);
}
