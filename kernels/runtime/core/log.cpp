#include "log.h"

#include <mutex>

namespace edgekit {
namespace {

std::mutex mutex;
Log taker = nullptr;
void *taker_user = nullptr;
LogLevel taker_least = LogLevel::info;
thread_local ErrorLog *errors = nullptr;

}  // namespace

void set_log(Log log, void *user, LogLevel least) noexcept {
  const std::lock_guard<std::mutex> lock(mutex);
  taker = log;
  taker_user = user;
  taker_least = least;
}

void log(LogLevel level, const char *message) noexcept {
  if (level == LogLevel::error && errors != nullptr) errors->add(message);
  const std::lock_guard<std::mutex> lock(mutex);
  if (taker != nullptr && level >= taker_least) taker(taker_user, level, message);
}

ErrorLog::ErrorLog() : outer_(errors) { errors = this; }

ErrorLog::~ErrorLog() { errors = outer_; }

void ErrorLog::add(const char *message) noexcept {
  try {
    if (first_.empty()) first_ = message;
  } catch (...) {  // no memory: the sentence has no reason then
  }
}

std::string ErrorLog::reason() const {
  std::string reason = first_.empty() ? "no reason given" : first_;
  while (!reason.empty() && (reason.back() == '.' || reason.back() == '\n')) reason.pop_back();
  return reason;
}

}  // namespace edgekit
