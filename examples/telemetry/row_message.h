// Messages with sensor rows: untrusted JSON to rows of float32.
//
// A row is {"time": 12.5, "values": [1, 2, 3]} or {"time": 12.5, "values": {"cpu": 1, "load": 2, "disk": 3}}; a message
// is a row, or a list of rows. Other fields, and names that are no channel, are passed over. The message is read once,
// into memory that is kept: no tree of it is made, and what is nested deeply ends the reading.
#ifndef TELEMETRY_ROW_MESSAGE_H
#define TELEMETRY_ROW_MESSAGE_H

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

class RowMessage {
 public:
  // Bytes and rows of a message, at most.
  static constexpr size_t kMostBytes = size_t{1} << 20, kMostRows = 4096;

  explicit RowMessage(std::vector<std::string> channels);

  // False: the message as a whole makes no sense, see reason(). Rows that are wrong by themselves are left out and
  // counted in refused(); reason() is then that of the last one.
  bool read(const char *payload, size_t size);

  size_t rows() const { return times_.size(); }
  double time(size_t row) const { return times_[row]; }
  // (channels), in the model's order.
  const float *values(size_t row) const { return values_.data() + row * channels_.size(); }
  size_t refused() const { return refused_; }
  // One phrase that holds nothing of the message.
  const std::string &reason() const { return reason_; }

 private:
  class Reader;
  std::vector<std::string> channels_;
  std::unordered_map<std::string, size_t> places_;
  std::vector<double> times_;
  std::vector<float> values_;
  std::vector<char> seen_;
  size_t refused_ = 0;
  std::string reason_;
};

#endif  // TELEMETRY_ROW_MESSAGE_H
