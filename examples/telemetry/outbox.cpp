#include "outbox.h"

#include <algorithm>

void Outbox::add(const std::string &topic, const std::string &payload) {
  if (messages_.size() >= most_) {
    messages_.pop_front();
    ++dropped_;
  }
  messages_.push_back({topic, payload, 0});
}

void Outbox::hand_over(const std::function<int(const std::string &topic, const std::string &payload)> &publish) {
  for (size_t place = 0; place < std::min(kInFlight, messages_.size()); ++place) {
    Message &message = messages_[place];
    if (message.number != 0) continue;
    message.number = publish(message.topic, message.payload);
    if (message.number == 0) return;
  }
}

void Outbox::confirm(int number) {
  const auto found = std::find_if(messages_.begin(), messages_.end(),
                                  [&](const Message &message) { return message.number == number; });
  if (found != messages_.end()) messages_.erase(found);
}

void Outbox::begin_anew() {
  for (Message &message : messages_) message.number = 0;
}
