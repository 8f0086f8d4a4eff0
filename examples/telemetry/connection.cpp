#include "connection.h"

#include <poll.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kKeepAlive = 30;  // seconds
// Messages that are taken together, at most.
constexpr int kTogether = 64;
// An alarm or a row arrives once at least.
constexpr int kQos = 1;

std::string reason_of(int code) { return code == MOSQ_ERR_ERRNO ? std::strerror(errno) : mosquitto_strerror(code); }

}  // namespace

std::unique_ptr<Connection> Connection::make(const Options &options, const std::string &will,
                                             ConnectionEvents &events, std::string &reason) {
  std::unique_ptr<Connection> made(new Connection(options, events));
  const bool keep = !options.id.empty();
  made->mosquitto_.reset(mosquitto_new(keep ? options.id.c_str() : nullptr, !keep, made.get()));
  mosquitto *client = made->mosquitto_.get();
  if (client == nullptr) return reason = reason_of(MOSQ_ERR_ERRNO), nullptr;
  mosquitto_connect_callback_set(client, [](mosquitto *, void *self, int code) {
    static_cast<Connection *>(self)->connected(code);
  });
  mosquitto_subscribe_callback_set(client, [](mosquitto *, void *self, int, int count, const int *granted) {
    auto *connection = static_cast<Connection *>(self);
    if (count == 1 && granted[0] <= 2)
      connection->events_.subscribed();
    else
      connection->refused_ = "it does not let us subscribe to " + connection->options_.gateway.rows;
  });
  mosquitto_message_callback_set(client, [](mosquitto *, void *self, const mosquitto_message *message) {
    auto *connection = static_cast<Connection *>(self);
    ++connection->taken_;
    connection->events_.came(message->topic, static_cast<const char *>(message->payload),
                             static_cast<size_t>(message->payloadlen));
  });
  mosquitto_publish_callback_set(client, [](mosquitto *, void *self, int number) {
    static_cast<Connection *>(self)->events_.confirmed(number);
  });
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  int code = mosquitto_will_set(client, options.status.c_str(), static_cast<int>(will.size()), will.data(), kQos, true);
  const char *password = std::getenv("MQTT_PASSWORD");
  if (code == MOSQ_ERR_SUCCESS && !options.user.empty())
    code = mosquitto_username_pw_set(client, options.user.c_str(), password);
  if (code == MOSQ_ERR_SUCCESS) code = mosquitto_connect(client, options.host.c_str(), options.port, kKeepAlive);
  if (code != MOSQ_ERR_SUCCESS) return reason = reason_of(code), nullptr;
  return made;
}

void Connection::connected(int code) {
  if (code != 0)
    refused_ = mosquitto_connack_string(code);
  else if (mosquitto_subscribe(mosquitto_.get(), nullptr, options_.gateway.rows.c_str(), kQos) != MOSQ_ERR_SUCCESS)
    refused_ = "the subscription could not be sent";
}

bool Connection::is_readable() const {
  pollfd socket = {mosquitto_socket(mosquitto_.get()), POLLIN, 0};
  return socket.fd >= 0 && poll(&socket, 1, 0) == 1 && (socket.revents & POLLIN) != 0;
}

bool Connection::step(int milliseconds, std::string &reason) {
  taken_ = 0;
  int code = mosquitto_loop(mosquitto_.get(), milliseconds, 1);
  // What has come meanwhile makes a micro-batch.
  while (code == MOSQ_ERR_SUCCESS && taken_ < kTogether && is_readable())
    code = mosquitto_loop_read(mosquitto_.get(), 1);
  if (code == MOSQ_ERR_SUCCESS && refused_.empty()) return true;
  reason = refused_.empty() ? reason_of(code) : refused_;
  return false;
}

int Connection::publish(const std::string &topic, const std::string &payload, int qos, bool retain) {
  int number = 0;
  const int code = mosquitto_publish(mosquitto_.get(), &number, topic.c_str(), static_cast<int>(payload.size()),
                                     payload.data(), qos, retain);
  return code == MOSQ_ERR_SUCCESS ? number : 0;
}
