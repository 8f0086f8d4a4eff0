// Alarms on their way to the broker: kept until it has them, and no more than so many.
#ifndef TELEMETRY_OUTBOX_H
#define TELEMETRY_OUTBOX_H

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

class Outbox {
 public:
  explicit Outbox(size_t most) : most_(most) {}

  // Where there are too many the oldest goes.
  void add(const std::string &topic, const std::string &payload);
  // Hands over what was not, by `publish`, which gives a number above 0 or fails (0).
  void hand_over(const std::function<int(const std::string &topic, const std::string &payload)> &publish);
  // The broker has the message of this number.
  void confirm(int number);
  // The connection is gone: what was not confirmed goes again.
  void begin_anew();

  size_t size() const { return messages_.size(); }
  int64_t dropped() const { return dropped_; }

 private:
  // Messages that are handed over and not confirmed, at most.
  static constexpr size_t kInFlight = 16;
  struct Message {
    std::string topic, payload;
    int number;  // 0: not handed over
  };
  const size_t most_;
  std::deque<Message> messages_;
  int64_t dropped_ = 0;
};

#endif  // TELEMETRY_OUTBOX_H
