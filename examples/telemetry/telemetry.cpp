// Alarms from sensor rows on a message bus: telemetry BUNDLE [OPTIONS], see --help and docs/telemetry.md.
#include <edgekit/session.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "connection.h"
#include "gateway.h"
#include "outbox.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstWait{250}, kLongestWait{30000};
// How often a signal is looked for.
constexpr int kStep = 200;  // milliseconds
// For alarms that are on their way when the program ends.
constexpr seconds kFarewell{3};

// The signal that asks for it: 130 is returned for Ctrl-C.
volatile std::sig_atomic_t stopping = 0;

class Client : private ConnectionEvents {
 public:
  explicit Client(const Options &options) : options_(options), outbox_(options.max_queued) {}

  // 0 or the exit status of what cannot be begun.
  int open() {
    session_ = edgekit::Session::open(options_.bundle.c_str());
    if (!session_ || !edgekit::set_threads(options_.threads))
      return std::fprintf(stderr, "%s\n", edgekit::last_error()), edgekit::last_error_is_usage() ? 2 : 1;
    gateway_ = Gateway::make(session_.get(), options_.gateway,
                             [this](Weight weight, const std::string &topic, const std::string &payload) {
                               send(weight, topic, payload);
                             });
    return gateway_ ? 0 : edgekit::last_error_is_usage() ? 2 : 1;
  }

  void run() {
    while (!stopping) {
      if (!connection_ && !connect()) continue;
      step();
      if (is_subscribed_ && Clock::now() >= next_status_) publish_status("online");
    }
    gateway_->stop();
    is_closing_ = true;
    const Clock::time_point until = Clock::now() + kFarewell;
    if (is_subscribed_) publish_status("offline");
    while (connection_ && outbox_.size() > 0 && Clock::now() < until) step();
    if (connection_) connection_->disconnect();
    if (outbox_.size() > 0) std::fprintf(stderr, "telemetry: %zu alarms were not sent.\n", outbox_.size());
  }

 private:
  // Waits a little where it is not yet time to try again.
  bool connect() {
    if (Clock::now() < next_try_) {
      std::this_thread::sleep_for(std::min<Clock::duration>(milliseconds(kStep), next_try_ - Clock::now()));
      return false;
    }
    std::string reason;
    connection_ = Connection::make(options_, R"({"state":"offline","why":"lost"})", *this, reason);
    if (!connection_) lose(reason);
    return connection_ != nullptr;
  }

  void step() {
    outbox_.hand_over([this](const std::string &topic, const std::string &payload) {
      return is_subscribed_ ? connection_->publish(topic, payload, 1, false) : 0;
    });
    std::string reason;
    const bool goes_on = connection_->step(kStep, reason);
    gateway_->score();
    if (!goes_on) lose(reason);
  }

  void lose(std::string reason) {
    if (!reason.empty() && reason.back() == '.') reason.pop_back();
    connection_.reset();
    is_subscribed_ = false;
    outbox_.begin_anew();
    gateway_->complaints().say("broker", "no connection to the broker at " + options_.host + ":" +
                                             std::to_string(options_.port) + ": " + reason + "; trying again.");
    next_try_ = Clock::now() + wait_;
    wait_ = std::min(2 * wait_, kLongestWait);
  }

  void subscribed() override {
    is_subscribed_ = true;
    wait_ = kFirstWait;
    ++connections_;
    std::fprintf(stderr, "telemetry: rows of %s from %s:%d.\n", options_.gateway.rows.c_str(), options_.host.c_str(),
                 options_.port);
    publish_status("online");
  }

  void came(const std::string &topic, const char *payload, size_t size) override {
    if (!is_closing_) gateway_->take(topic, payload, size);
  }

  void confirmed(int number) override { outbox_.confirm(number); }

  void send(Weight weight, const std::string &topic, const std::string &payload) {
    if (weight == Weight::alarm)
      outbox_.add(topic, payload);
    else if (is_subscribed_)
      connection_->publish(topic, payload, 0, false);
  }

  void publish_status(const char *state) {
    const Delivery delivery = {state, connections_, static_cast<int64_t>(outbox_.size()), outbox_.dropped()};
    connection_->publish(options_.status, gateway_->status(delivery), 1, true);
    next_status_ = Clock::now() + seconds(options_.status_every);
  }

  const Options options_;
  Outbox outbox_;
  edgekit::SessionPointer session_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Connection> connection_;
  bool is_subscribed_ = false, is_closing_ = false;
  int64_t connections_ = 0;
  milliseconds wait_ = kFirstWait;
  Clock::time_point next_try_{}, next_status_{};
};

}  // namespace

int main(int count, char **arguments) {
  const Options options = read_options(count, arguments);
  if (mosquitto_sub_topic_check(options.gateway.rows.c_str()) != MOSQ_ERR_SUCCESS)
    return std::fprintf(stderr, "--rows is no filter of topics; see --help.\n"), 2;
  for (const std::string &topic : {options.gateway.alarms, options.gateway.scores, options.status}) {
    bool comes_back = false;
    mosquitto_topic_matches_sub(options.gateway.rows.c_str(), topic.c_str(), &comes_back);
    if (comes_back)
      return std::fprintf(stderr, "what goes to %s would come back as rows: --rows matches it; see --help.\n",
                          topic.c_str()), 2;
  }
  struct sigaction stop {};
  stop.sa_handler = [](int signal) { stopping = signal; };
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  mosquitto_lib_init();
  int status;
  {
    Client client(options);
    status = client.open();
    if (status == 0) client.run();
  }
  mosquitto_lib_cleanup();
  return status == 0 && stopping == SIGINT ? 130 : status;
}
