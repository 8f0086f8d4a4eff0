// Messages in, messages out: everything but the network.
#ifndef TELEMETRY_GATEWAY_H
#define TELEMETRY_GATEWAY_H

#include <edgekit/detect_anomalies.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "complaints.h"
#include "machine.h"
#include "options.h"
#include "row_message.h"

// Fields in the order in which they are written.
using Json = nlohmann::ordered_json;

// What a message's loss means: alarms must arrive, a score may be lost.
enum class Weight { alarm, score };
using Send = std::function<void(Weight weight, const std::string &topic, const std::string &payload)>;

// Times of the newest rows, from their message to their score.
class Latencies {
 public:
  void add(double microseconds) { times_[count_++ % times_.size()] = static_cast<float>(microseconds); }
  size_t size() const { return std::min(count_, times_.size()); }
  // 0.5: the median.
  double percentile(double share) const;

 private:
  std::array<float, 4096> times_{};
  size_t count_ = 0;
};

// How it goes with the network, which the gateway does not know.
struct Delivery {
  const char *state;  // "online" or "offline"
  int64_t connections, queued, dropped;
};

struct Counters {
  int64_t messages = 0, rows = 0, late = 0, malformed = 0, gaps = 0, refused_machines = 0, failed = 0;
};

class Gateway : private MachineEvents {
 public:
  // Null, with a sentence on stderr: the bundle or the threshold makes no sense. The session outlives it.
  static std::unique_ptr<Gateway> make(edgekit::Session *session, const GatewayOptions &options, Send send);

  // Takes the rows of one message; they wait for score().
  void take(const std::string &topic, const char *payload, size_t size);
  // Rows that came together are scored together.
  void score();
  // Ends the episodes that go on.
  void stop();

  // What came in so far and how long it took, as JSON.
  std::string status(const Delivery &delivery) const;
  Complaints &complaints() { return complaints_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    Clock::time_point since;
    size_t rows;
  };

  Gateway(edgekit::AnomalyPipelinePointer pipeline, const GatewayOptions &options, Send send);
  Machine *machine_of(const std::string &topic);
  void scored(const std::string &machine, double time, float score, bool alarm) override;
  void began(const std::string &machine, const Episode &episode) override;
  void ended(const std::string &machine, const Episode &episode, const char *why) override;
  void send_alarm(Json fields, const std::string &machine, const Episode &episode);

  const edgekit::AnomalyPipelinePointer pipeline_;
  const GatewayOptions options_;
  const Send send_;
  RowMessage message_;
  std::map<std::string, std::unique_ptr<Machine>> machines_;
  std::vector<Waiting> waiting_;
  Latencies latencies_;
  Counters counters_;
  Complaints complaints_;
};

// What the wildcards of a filter stand for in a topic that it matches: "press" for plant/+/rows and plant/press/rows. The
// topic itself where there are none.
std::string machine_name(const std::string &filter, const std::string &topic);

#endif  // TELEMETRY_GATEWAY_H
