// Trace: what an engine has seen, as the public header has it.

#include "trace.h"

#include "core/failure.h"

namespace edgekit {

Trace::Impl::Impl(std::unique_ptr<TraceLog> seen, const std::vector<MethodSpec> &methods) : log(std::move(seen)) {
  for (TraceLog::Run &run : log->runs)
    runs.push_back({log->names.keep(methods[run.method].name), run.us, static_cast<int>(run.events.size()),
                    run.events.data()});
}

Trace::Trace(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Trace::~Trace() = default;

void TraceDeleter::operator()(Trace *trace) const noexcept { delete trace; }

int Trace::run_count() const noexcept { return static_cast<int>(impl_->runs.size()); }

const TracedRun &Trace::run(int index) const noexcept { return impl_->runs[static_cast<size_t>(index)]; }

const char *name_of(EventKind kind) noexcept {
  constexpr const char *kNames[] = {"operator", "delegate", "inside"};
  const size_t index = static_cast<size_t>(kind);
  return index < sizeof kNames / sizeof *kNames ? kNames[index] : "";
}

}  // namespace edgekit
