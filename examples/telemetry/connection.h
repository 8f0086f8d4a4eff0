// One connection to a broker, by libmosquitto. When it is lost a new one is made: nothing of it is left over.
#ifndef TELEMETRY_CONNECTION_H
#define TELEMETRY_CONNECTION_H

#include <mosquitto.h>

#include <memory>
#include <string>

#include "options.h"

// What comes of a connection; called within step().
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  virtual void subscribed() = 0;
  virtual void came(const std::string &topic, const char *payload, size_t size) = 0;
  virtual void confirmed(int number) = 0;
};

class Connection {
 public:
  // Null, with the reason: there is no broker, or it could not be reached. `will` is published when it is lost.
  static std::unique_ptr<Connection> make(const Options &options, const std::string &will, ConnectionEvents &events,
                                          std::string &reason);

  // Waits for what happens, at most so long, and takes the messages that have come, up to a number. False, with the
  // reason: it is lost.
  bool step(int milliseconds, std::string &reason);
  // The message's number; 0: it could not be sent.
  int publish(const std::string &topic, const std::string &payload, int qos, bool retain);
  void disconnect() { mosquitto_disconnect(mosquitto_.get()); }

 private:
  explicit Connection(const Options &options, ConnectionEvents &events) : options_(options), events_(events) {}
  void connected(int code);
  bool is_readable() const;

  const Options &options_;
  ConnectionEvents &events_;
  std::unique_ptr<mosquitto, void (*)(mosquitto *)> mosquitto_{nullptr, mosquitto_destroy};
  // Messages of this step.
  int taken_ = 0;
  // Why the broker does not want it.
  std::string refused_;
};

#endif  // TELEMETRY_CONNECTION_H
