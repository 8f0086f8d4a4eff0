// One machine's rows: their order in time, their scores, and episodes of alarms.
#ifndef TELEMETRY_MACHINE_H
#define TELEMETRY_MACHINE_H

#include <edgekit/detect_anomalies.h>

#include <memory>
#include <string>
#include <vector>

struct MachineSettings {
  // A gap in time above it empties the window, in the rows' unit; 0: none does.
  double max_gap = 60;
  // Rows without an alarm that end an episode.
  int quiet_rows = 10;
  // Channels that an episode names.
  int top = 5;
};

// From the first row with an alarm to the last one, with fewer than `quiet_rows` rows without between them.
struct Episode {
  struct Channel {
    int index;
    float error;
  };
  double first, last;  // times of its first and last row with an alarm
  int64_t rows;        // with an alarm
  double peak;         // time of the row with the highest score
  // Of that row.
  float score;
  edgekit::Diagnosis diagnosis;
  std::vector<Channel> channels;  // by falling error
};

// Where answers go.
class MachineEvents {
 public:
  virtual ~MachineEvents() = default;
  virtual void scored(const std::string &machine, double time, float score, bool alarm) = 0;
  virtual void began(const std::string &machine, const Episode &episode) = 0;
  // `why`: "quiet", "gap" (the window was emptied) or "stopped".
  virtual void ended(const std::string &machine, const Episode &episode, const char *why) = 0;
};

class Machine {
 public:
  // What became of a row.
  enum class Order {
    taken,
    late,    // not after the row before it: left out
    gap,     // taken, after a gap: the window begins anew
    failed,  // what was waiting could not be scored: edgekit::last_error()
  };

  // Null: edgekit::last_error(). The pipeline and the events outlive it.
  static std::unique_ptr<Machine> make(std::string name, edgekit::AnomalyPipeline &pipeline,
                                       const MachineSettings &settings, MachineEvents &events);

  // A row (channels) of finite numbers waits to be scored.
  Order take(double time, const float *row);
  // Scores what waits, together. False: edgekit::last_error(); it is left out.
  bool score();
  // Ends an episode that goes on.
  void end(const char *why);

  int64_t scored() const { return scored_; }
  int64_t episodes() const { return episodes_; }

 private:
  Machine(std::string name, edgekit::AnomalyPipeline &pipeline, const MachineSettings &settings, MachineEvents &events,
          edgekit::AnomalyStreamPointer stream);
  void follow(double time, float score, bool alarm, const float *errors);

  const std::string name_;
  edgekit::AnomalyPipeline &pipeline_;
  const MachineSettings &settings_;
  MachineEvents &events_;
  const edgekit::AnomalyStreamPointer stream_;
  const size_t channels_;
  // Those that wait; `waiting_` of them.
  std::vector<double> times_;
  std::vector<float> rows_, errors_, scores_;
  std::unique_ptr<bool[]> alarms_;
  std::vector<int> ranked_;
  size_t waiting_ = 0;
  bool has_last_ = false, in_episode_ = false;
  double last_ = 0;
  int far_late_ = 0, quiet_ = 0;
  int64_t scored_ = 0, episodes_ = 0;
  Episode episode_{};
};

#endif  // TELEMETRY_MACHINE_H
