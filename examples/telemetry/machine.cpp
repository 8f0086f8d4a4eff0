#include "machine.h"

#include <algorithm>
#include <cmath>

namespace {

// Rows that are scored together, at most.
constexpr size_t kTogether = 64;
// So many rows in a row that are late by more than the largest gap: the machine's clock was set back.
constexpr int kSetBack = 10;

}  // namespace

std::unique_ptr<Machine> Machine::make(std::string name, edgekit::AnomalyPipeline &pipeline,
                                       const MachineSettings &settings, MachineEvents &events) {
  edgekit::AnomalyStreamPointer stream = pipeline.stream();
  if (!stream) return nullptr;
  return std::unique_ptr<Machine>(new Machine(std::move(name), pipeline, settings, events, std::move(stream)));
}

Machine::Machine(std::string name, edgekit::AnomalyPipeline &pipeline, const MachineSettings &settings,
                 MachineEvents &events, edgekit::AnomalyStreamPointer stream)
    : name_(std::move(name)),
      pipeline_(pipeline),
      settings_(settings),
      events_(events),
      stream_(std::move(stream)),
      channels_(static_cast<size_t>(pipeline.detector().channels())),
      times_(kTogether),
      rows_(kTogether * channels_),
      errors_(kTogether * channels_),
      scores_(kTogether),
      alarms_(new bool[kTogether]),
      ranked_(channels_) {}

Machine::Order Machine::take(double time, const float *row) {
  Order order = Order::taken;
  const double gap = settings_.max_gap;
  if (has_last_ && !(time > last_)) {
    const bool far = gap > 0 && last_ - time > gap;
    far_late_ = far ? far_late_ + 1 : 0;
    if (far_late_ < kSetBack) return Order::late;
    order = Order::gap;
  } else if (has_last_ && gap > 0 && time - last_ > gap) {
    order = Order::gap;
  }
  far_late_ = 0;
  bool done = true;
  if (order == Order::gap) {
    done = score();
    end("gap");
    done = stream_->reset() && done;
  } else if (waiting_ == kTogether) {
    done = score();
  }
  has_last_ = true;
  last_ = times_[waiting_] = time;
  std::copy_n(row, channels_, rows_.data() + waiting_ * channels_);
  ++waiting_;
  return done ? order : Order::failed;
}

bool Machine::score() {
  const size_t count = waiting_;
  waiting_ = 0;
  if (count == 0) return true;
  if (!stream_->push_rows(rows_.data(), static_cast<int64_t>(count), static_cast<int>(channels_), errors_.data(),
                          scores_.data(), alarms_.get()))
    return false;
  for (size_t row = 0; row < count; ++row)
    if (!std::isnan(scores_[row])) follow(times_[row], scores_[row], alarms_[row], errors_.data() + row * channels_);
  return true;
}

void Machine::follow(double time, float score, bool alarm, const float *errors) {
  ++scored_;
  events_.scored(name_, time, score, alarm);
  if (!alarm) {
    if (in_episode_ && ++quiet_ >= settings_.quiet_rows) end("quiet");
    return;
  }
  quiet_ = 0;
  const bool begins = !in_episode_;
  if (begins) {
    episode_.first = time;
    episode_.rows = 0;
  }
  ++episode_.rows;
  episode_.last = time;
  if (begins || score > episode_.score) {
    const edgekit::AnomalyDetector &detector = pipeline_.detector();
    detector.rank(errors, ranked_.data());
    episode_.peak = time;
    episode_.score = score;
    episode_.diagnosis = detector.diagnosis(errors);
    episode_.channels.clear();
    for (size_t place = 0; place < std::min(channels_, static_cast<size_t>(settings_.top)); ++place)
      episode_.channels.push_back({ranked_[place], errors[ranked_[place]]});
  }
  if (!begins) return;
  in_episode_ = true;
  ++episodes_;
  events_.began(name_, episode_);
}

void Machine::end(const char *why) {
  if (!in_episode_) return;
  in_episode_ = false;
  quiet_ = 0;
  events_.ended(name_, episode_, why);
}
