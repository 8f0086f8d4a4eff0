#include "gateway.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace {

// As many digits as a float32 has.
double digits(float number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", static_cast<double>(number));
  return std::strtod(text, nullptr);
}

// A machine's name is text from the network.
std::string text_of(const Json &json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string with_machine(std::string topic, const std::string &machine) {
  constexpr char kPlace[] = "{machine}";
  for (size_t at = topic.find(kPlace); at != std::string::npos; at = topic.find(kPlace, at + machine.size()))
    topic.replace(at, sizeof kPlace - 1, machine);
  return topic;
}

std::vector<std::string> levels_of(const std::string &topic) {
  std::vector<std::string> levels(1);
  for (const char letter : topic) {
    if (letter == '/')
      levels.emplace_back();
    else
      levels.back() += letter;
  }
  return levels;
}

}  // namespace

std::string machine_name(const std::string &filter, const std::string &topic) {
  const std::vector<std::string> wanted = levels_of(filter), given = levels_of(topic);
  std::string name;
  for (size_t level = 0; level < std::min(wanted.size(), given.size()); ++level) {
    const bool rest = wanted[level] == "#";
    if (!rest && wanted[level] != "+") continue;
    for (size_t place = level; place < (rest ? given.size() : level + 1); ++place)
      name += (name.empty() ? "" : "/") + given[place];
    if (rest) break;
  }
  return name.empty() ? topic : name;
}

double Latencies::percentile(double share) const {
  std::vector<float> sorted(times_.begin(), times_.begin() + static_cast<std::ptrdiff_t>(size()));
  if (sorted.empty()) return 0;
  const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(sorted.size() - 1));
  std::nth_element(sorted.begin(), place, sorted.end());
  return *place;
}

std::unique_ptr<Gateway> Gateway::make(edgekit::Session *session, const GatewayOptions &options, Send send) {
  edgekit::AnomalyPipelinePointer pipeline = edgekit::AnomalyPipeline::make(session);
  if (!pipeline ||
      (!options.threshold.empty() && !pipeline->detector().use_threshold(options.threshold.c_str()))) {
    std::fprintf(stderr, "%s\n", edgekit::last_error());
    return nullptr;
  }
  // The first row takes no longer than the others.
  for (int index = 0; index < session->method_count(); ++index) session->load(session->method(index).name);
  return std::unique_ptr<Gateway>(new Gateway(std::move(pipeline), options, std::move(send)));
}

Gateway::Gateway(edgekit::AnomalyPipelinePointer pipeline, const GatewayOptions &options, Send send)
    : pipeline_(std::move(pipeline)), options_(options), send_(std::move(send)), message_([this] {
        std::vector<std::string> names;
        for (int index = 0; index < pipeline_->detector().channels(); ++index)
          names.emplace_back(pipeline_->detector().channel(index));
        return names;
      }()) {}

Machine *Gateway::machine_of(const std::string &topic) {
  const std::string name = machine_name(options_.rows, topic);
  const auto found = machines_.find(name);
  if (found != machines_.end()) return found->second.get();
  if (machines_.size() >= options_.max_machines) return nullptr;
  std::unique_ptr<Machine> machine = Machine::make(name, *pipeline_, options_.machine, *this);
  return machine ? machines_.emplace(name, std::move(machine)).first->second.get() : nullptr;
}

void Gateway::take(const std::string &topic, const char *payload, size_t size) {
  const Clock::time_point now = Clock::now();
  ++counters_.messages;
  if (!message_.read(payload, size)) {
    ++counters_.malformed;
    return complaints_.say("malformed", "a message was left out: " + message_.reason() + ".");
  }
  if (message_.refused() > 0) {
    counters_.malformed += static_cast<int64_t>(message_.refused());
    complaints_.say("malformed", "a row was left out: " + message_.reason() + ".");
  }
  if (message_.rows() == 0) return;
  Machine *machine = machine_of(topic);
  if (machine == nullptr) {
    counters_.refused_machines += static_cast<int64_t>(message_.rows());
    return complaints_.say("machines", "rows of a machine were left out: there are " +
                                           std::to_string(machines_.size()) + " already (--max-machines).");
  }
  size_t taken = 0;
  for (size_t row = 0; row < message_.rows(); ++row) {
    switch (machine->take(message_.time(row), message_.values(row))) {
      case Machine::Order::late:
        ++counters_.late;
        complaints_.say("late", "a row was left out: its time is not after that of the row before it.");
        continue;
      case Machine::Order::failed:
        ++counters_.failed;
        complaints_.say("failed", std::string("rows were not scored: ") + edgekit::last_error());
        break;
      case Machine::Order::gap: ++counters_.gaps; break;
      case Machine::Order::taken: break;
    }
    ++taken;
  }
  counters_.rows += static_cast<int64_t>(taken);
  if (taken > 0) waiting_.push_back({now, taken});
}

void Gateway::score() {
  if (waiting_.empty()) return;
  for (const auto &named : machines_) {
    if (named.second->score()) continue;
    ++counters_.failed;
    complaints_.say("failed", std::string("rows were not scored: ") + edgekit::last_error());
  }
  const Clock::time_point now = Clock::now();
  for (const Waiting &message : waiting_) {
    const double time = std::chrono::duration<double, std::micro>(now - message.since).count();
    for (size_t row = 0; row < message.rows; ++row) latencies_.add(time);
  }
  waiting_.clear();
}

void Gateway::stop() {
  score();
  for (const auto &named : machines_) named.second->end("stopped");
}

void Gateway::scored(const std::string &machine, double time, float score, bool alarm) {
  if (options_.scores.empty()) return;
  send_(Weight::score, with_machine(options_.scores, machine),
        text_of({{"machine", machine}, {"time", time}, {"score", digits(score)}, {"alarm", alarm}}));
}

void Gateway::began(const std::string &machine, const Episode &episode) {
  send_alarm({{"event", "begin"}, {"machine", machine}, {"time", episode.first}}, machine, episode);
}

void Gateway::ended(const std::string &machine, const Episode &episode, const char *why) {
  send_alarm({{"event", "end"},
              {"machine", machine},
              {"begin", episode.first},
              {"time", episode.last},
              {"why", why},
              {"rows", episode.rows},
              {"peak", episode.peak}},
             machine, episode);
}

void Gateway::send_alarm(Json fields, const std::string &machine, const Episode &episode) {
  const edgekit::AnomalyDetector &detector = pipeline_->detector();
  fields["score"] = digits(episode.score);
  fields["threshold"] = digits(static_cast<float>(detector.threshold()));
  fields["diagnosis"] = edgekit::name_of(episode.diagnosis);
  fields["channels"] = Json::array();
  for (const Episode::Channel &channel : episode.channels)
    fields["channels"].push_back({{"name", detector.channel(channel.index)}, {"error", digits(channel.error)}});
  send_(Weight::alarm, with_machine(options_.alarms, machine), text_of(fields));
}

std::string Gateway::status(const Delivery &delivery) const {
  int64_t scored = 0, alarms = 0;
  for (const auto &named : machines_) {
    scored += named.second->scored();
    alarms += named.second->episodes();
  }
  const Json json = {{"state", delivery.state},
                     {"connections", delivery.connections},
                     {"queued", delivery.queued},
                     {"dropped", delivery.dropped},
                     {"machines", machines_.size()},
                     {"messages", counters_.messages},
                     {"rows", counters_.rows},
                     {"scored", scored},
                     {"alarms", alarms},
                     {"late", counters_.late},
                     {"gaps", counters_.gaps},
                     {"malformed", counters_.malformed},
                     {"refused_machines", counters_.refused_machines},
                     {"failed", counters_.failed},
                     {"latency_us", {{"p50", std::round(latencies_.percentile(0.5))},
                                     {"p99", std::round(latencies_.percentile(0.99))}}}};
  return text_of(json);
}
