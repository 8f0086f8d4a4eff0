// Anomaly detection: a series in; scores, alarms and ranked channels out.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "core/json.h"
#include "edgekit/detect_anomalies.h"
#include "edgekit/series.h"
#include "output.h"
#include "tasks.h"

namespace edgekit {
namespace {

// Alarms and channels of each that are shown; files and JSON have all.
constexpr size_t kShownAlarms = 20, kShownChannels = 5;

struct Found {
  const Series &series;
  const AnomalyDetector &detector;
  std::vector<float> errors, scores;
  std::unique_ptr<bool[]> alarms;

  const float *errors_of(int64_t row) const { return errors.data() + row * series.channels(); }

  std::vector<std::string> ranked(const float *errors_of_channels) const {
    std::vector<int> order(static_cast<size_t>(series.channels()));
    detector.rank(errors_of_channels, order.data());
    std::vector<std::string> names;
    for (const int channel : order) names.emplace_back(detector.channel(channel));
    return names;
  }
};

// A run of rows with an alarm, the last one not included.
struct Alarm {
  int64_t first, end, peak;
  std::vector<std::string> channels;
};

std::vector<Alarm> find_alarms(const Found &found) {
  std::vector<Alarm> alarms;
  const int64_t rows = found.series.rows();
  for (int64_t row = 0; row < rows; ++row) {
    if (!found.alarms[row]) continue;
    Alarm alarm{row, row, row, {}};
    std::vector<float> mean(static_cast<size_t>(found.series.channels()));
    for (; alarm.end < rows && found.alarms[alarm.end]; ++alarm.end) {
      if (found.scores[alarm.end] > found.scores[alarm.peak]) alarm.peak = alarm.end;
      for (size_t channel = 0; channel < mean.size(); ++channel) mean[channel] += found.errors_of(alarm.end)[channel];
    }
    alarm.channels = found.ranked(mean.data());
    row = alarm.end;
    alarms.push_back(std::move(alarm));
  }
  return alarms;
}

Json time_of(const Series &series, int64_t row) {
  return series.time(row) == nullptr ? Json() : Json(series.time(row));
}

Json json_of(const Found &found, const Alarm &alarm) {
  return {{"first_row", alarm.first + 1},
          {"last_row", alarm.end},
          {"peak_row", alarm.peak + 1},
          {"peak_time", time_of(found.series, alarm.peak)},
          {"peak_score", found.scores[alarm.peak]},
          {"diagnosis", name_of(found.detector.diagnosis(found.errors_of(alarm.peak)))},
          {"channels", alarm.channels}};
}

std::string joined(const std::vector<std::string> &names, size_t most, const char *between) {
  std::string text;
  for (size_t index = 0; index < std::min(most, names.size()); ++index)
    text += (index == 0 ? "" : between) + names[index];
  return text;
}

std::string rows_as_csv(const Found &found) {
  const bool timed = found.series.time(0) != nullptr;
  std::string text = timed ? "row,time,score,alarm,diagnosis,ranked_channels\n"
                           : "row,score,alarm,diagnosis,ranked_channels\n";
  for (int64_t row = 0; row < found.series.rows(); ++row) {
    const bool scored = std::isfinite(found.scores[row]);
    text += std::to_string(row + 1) + ",";
    if (timed) text += csv_cell(found.series.time(row)) + ",";
    text += (scored ? format("%.6g", found.scores[row]) : "") + (found.alarms[row] ? ",1," : ",0,");
    if (found.alarms[row]) text += name_of(found.detector.diagnosis(found.errors_of(row)));
    text += "," + (scored ? csv_cell(joined(found.ranked(found.errors_of(row)), SIZE_MAX, ";")) : "") + "\n";
  }
  return text;
}

std::string rows_as_json(const Found &found) {
  Json rows = Json::array();
  for (int64_t row = 0; row < found.series.rows(); ++row) {
    const bool scored = std::isfinite(found.scores[row]);
    Json item = {{"row", row + 1},
                 {"score", scored ? Json(found.scores[row]) : Json()},
                 {"alarm", static_cast<bool>(found.alarms[row])},
                 {"diagnosis", found.alarms[row] ? Json(name_of(found.detector.diagnosis(found.errors_of(row)))) : Json()},
                 {"ranked_channels", scored ? Json(found.ranked(found.errors_of(row))) : Json::array()}};
    if (found.series.time(row) != nullptr) item["time"] = found.series.time(row);
    rows.push_back(std::move(item));
  }
  return rows.dump(1) + "\n";
}

}  // namespace

void run_detect_anomalies(Session &session, const Request &request) {
  take_only(request, {"input", "output", "threshold"});
  if (request.inputs.size() != 1) throw UsageFailure("anomaly detection takes one series: give it with --input FILE.");
  if (request.output) {
    if (!ends_with(*request.output, ".csv") && !ends_with(*request.output, ".json"))
      throw UsageFailure(format("%s: write a .csv or a .json file.", request.output->c_str()));
    check_free(request, *request.output);
  }
  const AnomalyPipelinePointer pipeline = AnomalyPipeline::make(&session);
  if (!pipeline) fail_as_said();
  AnomalyDetector &detector = pipeline->detector();
  if (request.threshold && !detector.use_threshold(request.threshold->c_str())) fail_as_said();
  const SeriesPointer series = Series::read(request.inputs[0].c_str());
  std::vector<const char *> channels;
  for (int channel = 0; channel < detector.channels(); ++channel) channels.push_back(detector.channel(channel));
  if (!series || !series->put_in_order(channels.data(), detector.channels())) fail_as_said();
  const auto rows = static_cast<size_t>(series->rows());
  Found found{*series, detector, std::vector<float>(rows * channels.size()), std::vector<float>(rows),
              std::make_unique<bool[]>(rows)};
  if (!pipeline->detect(series->values(), series->rows(), detector.channels(), found.errors.data(),
                        found.scores.data(), found.alarms.get()))
    fail_as_said();
  std::vector<Alarm> alarms = find_alarms(found);
  if (request.output)
    write_file(*request.output, ends_with(*request.output, ".csv") ? rows_as_csv(found) : rows_as_json(found));
  int64_t scored = 0, alarmed = 0;
  for (size_t row = 0; row < rows; ++row) {
    scored += std::isfinite(found.scores[row]);
    alarmed += found.alarms[row];
  }
  if (request.json) {
    Json listed = Json::array();
    for (const Alarm &alarm : alarms) listed.push_back(json_of(found, alarm));
    const Json answer = {{"rows", rows}, {"scored_rows", scored}, {"alarm_rows", alarmed},
                         {"threshold", detector.threshold()}, {"alarms", std::move(listed)}};
    std::printf("%s\n", answer.dump(2).c_str());
    return;
  }
  std::printf("%lld of %zu rows scored (the first %d fill the window), %lld above the threshold %.4g (%s).\n",
              static_cast<long long>(scored), rows, detector.window() - 1, static_cast<long long>(alarmed),
              detector.threshold(), detector.threshold_name());
  std::sort(alarms.begin(), alarms.end(),
            [&](const Alarm &a, const Alarm &b) { return found.scores[a.peak] > found.scores[b.peak]; });
  for (size_t index = 0; index < std::min(kShownAlarms, alarms.size()); ++index) {
    const Alarm &alarm = alarms[index];
    std::printf("rows %lld-%lld: peak score %.4g at row %lld%s%s, %s; %s\n", static_cast<long long>(alarm.first + 1),
                static_cast<long long>(alarm.end), found.scores[alarm.peak], static_cast<long long>(alarm.peak + 1),
                series->time(alarm.peak) == nullptr ? "" : ", ",
                series->time(alarm.peak) == nullptr ? "" : series->time(alarm.peak),
                name_of(detector.diagnosis(found.errors_of(alarm.peak))),
                joined(alarm.channels, kShownChannels, ", ").c_str());
  }
  if (alarms.size() > kShownAlarms)
    std::printf("%zu alarms in all, the %zu strongest are shown; --json has every one.\n", alarms.size(), kShownAlarms);
  if (request.output) std::printf("Written: %s\n", request.output->c_str());
}

}  // namespace edgekit
