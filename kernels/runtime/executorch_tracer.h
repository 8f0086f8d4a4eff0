// ExecuTorch's events of a method, with the operators' names.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <memory>
#include <string>
#include <vector>

#include "core/trace_log.h"
#include "program_calls.h"

namespace edgekit {

// Given to ExecuTorch when a method is loaded, which calls it from then on. It records between begin() and end().
//
// ExecuTorch says when it begins and ends an instruction (OPERATOR_CALL, DELEGATE_CALL); what a kernel says of itself in
// between (native_call_*) is the same again. A delegate says afterwards what it did.
class ExecutorchTracer final : public executorch::runtime::EventTracer {
 public:
  // `log` outlives it, `calls` are the method's instructions.
  ExecutorchTracer(TraceLog &log, size_t method, std::vector<std::vector<CallText>> calls);

  void begin();
  // Keeps what was recorded since begin(), where the run went well.
  void end(bool keep);

 private:
  using Entry = executorch::runtime::EventTracerEntry;
  using Id = executorch::runtime::DelegateDebugIntId;
  using Tensor = executorch::aten::Tensor;

  Entry start_profiling(const char *name, executorch::runtime::ChainID chain,
                        executorch::runtime::DebugHandle instruction) override;
  void end_profiling(Entry entry) override;
  Entry start_profiling_delegate(const char *name, Id id) override;
  void end_profiling_delegate(Entry entry, const void *metadata, size_t size) override;
  void log_profiling_delegate(const char *name, Id id, et_timestamp_t start, et_timestamp_t end, const void *metadata,
                              size_t size) override;

  // Nothing is asked of these: tensors are not logged, memory is counted elsewhere.
  void create_event_block(const char *) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char *) override { return 0; }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase *) override {}
  executorch::runtime::Result<bool> log_evalue(const executorch::runtime::EValue &,
                                               executorch::runtime::LoggedEValueType) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char *, Id, const Tensor &) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char *, Id, const executorch::runtime::ArrayRef<Tensor>) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char *, Id, const int &) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char *, Id, const bool &) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char *, Id, const double &) override {
    return false;
  }

  double microseconds(et_timestamp_t time) const;
  // A step in a delegate: its name as ExecuTorch gives it, and without the number behind it. One that came at the same
  // place in the run before is not looked up.
  struct Step {
    const char *given = "", *name = "";
  };
  const char *step_name(const char *given, Id id);
  int add_inside(const char *name, Id id, et_timestamp_t start);

  TraceLog &log_;
  size_t method_;
  std::vector<std::vector<TraceEvent>> calls_;  // by chain and instruction, as an event begins
  double ticks_to_us_;
  bool recording_ = false;
  et_timestamp_t start_ = 0;
  int open_ = -1;  // the instruction that is running
  int64_t inside_ = 0;
  std::vector<TraceEvent> events_;
  std::vector<Step> steps_;  // by place in events_
};

}  // namespace edgekit
