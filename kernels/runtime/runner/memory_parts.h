// What a run takes of memory, by part: counted, and what the system says is resident.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/json.h"
#include "edgekit/session.h"
#include "launch/heap_count.h"

namespace edgekit {

// Bytes of the process that the system holds in memory now, by what they are; of `peak`, that it held at most.
struct Resident {
  int64_t peak, libraries, program, rest;
};

// Nothing where the system does not tell.
std::optional<Resident> resident_memory();

// The process's resident memory now in bytes, -1 where the system does not tell.
int64_t resident_now();

// The process's peak of resident memory in bytes, 0 where the system does not tell.
int64_t peak_memory();

// Follows the counter from the moment before a session is opened to the end of its runs. What a delegate takes is what
// the heap grows by, beyond what the session says that it holds itself, while its methods are loaded and run.
class MemoryParts {
 public:
  explicit MemoryParts(HeapCount &count) : count_(count) { count_.start_peak(); }

  // After the session was opened, before any method is loaded.
  void opened(const Session &session);
  // After all methods were loaded.
  void loaded(const Session &session);
  // Around a run; `inputs_outputs` are the bytes of its tensors, which the caller holds.
  void begin_run(const Session &session);
  void end_run(const Session &session, int64_t inputs_outputs);

  // The most that heap and mapped files held at once so far.
  int64_t counted_peak() const { return std::max(load_peak_, count_.peak.load()); }
  // After the last run, with no tensors held any more.
  Json json(const Session &session) const;

 private:
  // The heap without what the session counts itself.
  int64_t beyond(const Session &session) const;
  Json parts(const Session &session, int64_t workspace, int64_t inputs_outputs) const;

  HeapCount &count_;
  int64_t opened_ = 0, packed_ = 0, workspace_ = 0, inputs_outputs_ = 0, before_run_ = 0;
  int64_t heap_peak_load_ = 0, load_peak_ = 0;
  Json after_load_;
};

}  // namespace edgekit
