// No more of rclcpp than the node uses, to compile and call it where there is no ROS 2. Not ROS: a subscription is a
// function that the test calls, a publisher a list that it reads.
#pragma once

#include <any>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rclcpp {

class NodeOptions {};

struct Logger {};
struct Clock {
  using SharedPtr = std::shared_ptr<Clock>;
};

class QoS {
 public:
  QoS &keep_last(size_t depth) {
    depth_ = depth;
    return *this;
  }
  size_t depth() const { return depth_; }

 private:
  size_t depth_ = 5;
};
class SensorDataQoS : public QoS {};

// Values that a parameter is given in place of its default.
inline std::map<std::string, std::any> given_parameters;

template <typename Message>
class Publisher {
 public:
  using SharedPtr = std::shared_ptr<Publisher>;
  void publish(const Message &message) { published.push_back(message); }
  static inline std::vector<Message> published;
};

template <typename Message>
class Subscription {
 public:
  using SharedPtr = std::shared_ptr<Subscription>;
  static inline std::function<void(std::shared_ptr<const Message>)> callback;
};

class Node {
 public:
  Node(const std::string &, const NodeOptions &) {}

  template <typename Value>
  Value declare_parameter(const std::string &name, const Value &value) {
    const auto found = given_parameters.find(name);
    return found == given_parameters.end() ? value : std::any_cast<Value>(found->second);
  }
  template <typename Message>
  typename Publisher<Message>::SharedPtr create_publisher(const std::string &, const QoS &) {
    return std::make_shared<Publisher<Message>>();
  }
  template <typename Message, typename Callback>
  typename Subscription<Message>::SharedPtr create_subscription(const std::string &, const QoS &, Callback callback) {
    Subscription<Message>::callback = std::move(callback);
    return std::make_shared<Subscription<Message>>();
  }
  Logger get_logger() const { return {}; }
  Clock::SharedPtr get_clock() const { return std::make_shared<Clock>(); }
};

inline void init(int, char **) {}
inline void spin(const std::shared_ptr<Node> &) {}
inline void shutdown() {}

}  // namespace rclcpp

#define RCLCPP_WARN_THROTTLE(logger, clock, duration, ...) \
  ((void)(logger), (void)(clock), (void)(duration), std::fprintf(stderr, __VA_ARGS__), std::fputc('\n', stderr))
