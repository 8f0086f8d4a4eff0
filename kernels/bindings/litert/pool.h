// Threads for operators where the caller brings none: LiteRT and TensorFlow Lite lend a custom operator none of theirs.
#pragma once

#include "edgekit/ops.h"

namespace edgekit::litert_binding {

// As many threads as one user of the process's pool takes, the calling one among them. While another user has the pool,
// the calling thread works alone: the answers are the same.
class Threads {
 public:
  explicit Threads(int count) : count_(count) {}

  // A context without scratch, valid as long as this is.
  edgekit_context context() const;

 private:
  static void parallel(void *self, int tasks, void (*task)(void *, int), void *argument);

  int count_;
};

}  // namespace edgekit::litert_binding
