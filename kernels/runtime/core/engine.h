// What runs programs, whatever their format.
#pragma once

#include <cstdint>
#include <memory>

#include "bundle.h"
#include "heap.h"
#include "trace_log.h"

namespace edgekit {

class Engine {
 public:
  virtual ~Engine() = default;

  // Methods are numbered as in the manifest's program. Each throws Failure.
  virtual void load(size_t method) = 0;
  // Runs a loaded method; counts, dtypes and shapes fit. rows[i] gets the first dimension of output i.
  virtual void run(size_t method, const Tensor *inputs, const Tensor *outputs, int64_t *rows) = 0;

  // Whether methods are loaded, and run, so that every operator is timed. Those that are not stay as they are: a runtime
  // decides when it loads a method, and pays for it in every run.
  virtual void trace(bool on) = 0;
  // The traced runs since the last one; their methods are closed, and tracing is off.
  virtual std::unique_ptr<TraceLog> take_trace() = 0;

  // The state in use, which all methods share; nothing if they have none. Before its numbers are read or written:
  // ready_state(), which throws Failure if they are lost; unless they are all `replaced`.
  virtual Block &state() = 0;
  enum class StateUse { read, changed, replaced };
  virtual void ready_state(StateUse) {}
  virtual size_t program_bytes() const = 0;
  virtual size_t arena_bytes() const = 0;
  virtual size_t runtime_bytes() const = 0;
  virtual size_t scratch_bytes() const = 0;
  // What a method's operators needed at most so far.
  virtual size_t scratch_of(size_t method) const = 0;
};

}  // namespace edgekit
