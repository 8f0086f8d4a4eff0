#include "row_message.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace {

// Levels of lists and objects within a field that is passed over.
constexpr int kDeepest = 16;

}  // namespace

// Takes the parser's events. False ends the reading.
class RowMessage::Reader {
 public:
  explicit Reader(RowMessage &message) : message_(message) {}

  bool null() { return other("null"); }
  bool boolean(bool) { return other("no number"); }
  bool string(std::string &) { return other("no number"); }
  bool binary(nlohmann::json::binary_t &) { return other("no number"); }
  bool number_integer(nlohmann::json::number_integer_t number) { return take(static_cast<double>(number)); }
  bool number_unsigned(nlohmann::json::number_unsigned_t number) { return take(static_cast<double>(number)); }
  bool number_float(double number, const std::string &) { return take(number); }

  bool start_object(size_t) {
    if (skipped_ == 0 && (part_ == Part::message || part_ == Part::batch)) return begin_row();
    if (skipped_ == 0 && part_ == Part::row && field_ == Field::values) return begin_values(Part::named_values);
    return skip();
  }

  bool start_array(size_t) {
    if (skipped_ == 0 && part_ == Part::message) {
      part_ = Part::batch;
      is_batch_ = true;
      return true;
    }
    if (skipped_ == 0 && part_ == Part::row && field_ == Field::values) return begin_values(Part::listed_values);
    return skip();
  }

  bool key(std::string &name) {
    if (skipped_ > 0) return true;
    if (part_ == Part::row) {
      field_ = name == "time" ? Field::time : name == "values" ? Field::values : Field::other;
      if ((field_ == Field::time && time_) || (field_ == Field::values && has_values_)) wrong("a row has a field twice");
      return true;
    }
    // Mostly in the model's order.
    const size_t next = place_ + 1;
    if (place_ != kNowhere && next < message_.channels_.size() && message_.channels_[next] == name) {
      place_ = next;
    } else {
      const auto found = message_.places_.find(name);
      place_ = found == message_.places_.end() ? kNowhere : found->second;
    }
    return true;
  }

  bool end_object() { return end(); }
  bool end_array() { return end(); }

  bool parse_error(size_t, const std::string &, const nlohmann::detail::exception &error) {
    // 4xx: a number that no float64 holds.
    return fail(error.id / 100 == 4 ? "a number is out of range" : "it is not JSON");
  }

 private:
  enum class Part { message, batch, row, listed_values, named_values, done };
  enum class Field { time, values, other };
  static constexpr size_t kNowhere = SIZE_MAX;

  bool fail(const char *reason) {
    message_.reason_ = reason;
    return false;
  }

  // The row that is being read will be left out; the first reason stays.
  void wrong(std::string reason) {
    if (!reason_.empty()) return;
    reason_ = std::move(reason);
  }

  bool skip() {
    if (skipped_ == 0) {
      if (part_ == Part::message || part_ == Part::done) return fail("it is no row");
      if (part_ == Part::batch) refuse("a row is no object");
      if (part_ == Part::row && field_ == Field::time) wrong("a row's time is no number");
      if (part_ == Part::listed_values || (part_ == Part::named_values && place_ != kNowhere))
        wrong("a row's values are nested");
    }
    return ++skipped_ <= kDeepest || fail("it is nested too deeply");
  }

  bool begin_row() {
    if (message_.times_.size() + message_.refused_ >= kMostRows) return fail("it has too many rows");
    part_ = Part::row;
    field_ = Field::other;
    time_.reset();
    has_values_ = false;
    reason_.clear();
    message_.values_.resize((message_.times_.size() + 1) * message_.channels_.size());
    return true;
  }

  bool begin_values(Part kind) {
    part_ = kind;
    has_values_ = true;
    count_ = 0;
    place_ = kNowhere;
    message_.seen_.assign(message_.channels_.size(), 0);
    return true;
  }

  // A value that is no number.
  bool other(const char *what) {
    if (skipped_ > 0) return true;
    switch (part_) {
      case Part::batch: refuse("a row is no object"); return true;
      case Part::row:
        if (field_ == Field::time) wrong("a row's time is no number");
        if (field_ == Field::values) wrong("a row's values are neither a list nor an object");
        return true;
      case Part::listed_values:
        if (count_ < message_.channels_.size()) wrong("a row's '" + message_.channels_[count_] + "' is " + what);
        ++count_;
        return true;
      case Part::named_values:
        if (place_ != kNowhere) wrong("a row's '" + message_.channels_[place_] + "' is " + what);
        return true;
      default: return fail("it is no row");
    }
  }

  bool take(double number) {
    if (skipped_ > 0 || part_ == Part::message || part_ == Part::batch || part_ == Part::done) return other("");
    if (part_ == Part::row) {
      if (field_ == Field::time) time_ = number;
      if (field_ == Field::values) wrong("a row's values are neither a list nor an object");
      return true;
    }
    const size_t place = part_ == Part::listed_values ? count_++ : place_;
    if (place >= message_.channels_.size()) return true;
    const auto value = static_cast<float>(number);
    if (!std::isfinite(value)) wrong("a row's '" + message_.channels_[place] + "' is too large for float32");
    if (message_.seen_[place]) wrong("a row has '" + message_.channels_[place] + "' twice");
    message_.seen_[place] = 1;
    message_.values_[message_.times_.size() * message_.channels_.size() + place] = value;
    return true;
  }

  bool end() {
    if (skipped_ > 0) {
      --skipped_;
      return true;
    }
    switch (part_) {
      case Part::listed_values:
      case Part::named_values: end_values(); return true;
      case Part::row: end_row(); return true;
      default: part_ = Part::done; return true;
    }
  }

  void end_values() {
    const auto &channels = message_.channels_;
    if (part_ == Part::listed_values && count_ != channels.size())
      wrong("a row has " + std::to_string(count_) + " values, " + std::to_string(channels.size()) + " are needed");
    for (size_t place = 0; place < channels.size() && reason_.empty(); ++place)
      if (!message_.seen_[place]) wrong("a row has no '" + channels[place] + "'");
    part_ = Part::row;
    field_ = Field::other;
  }

  void end_row() {
    if (!time_) wrong("a row has no time");
    if (!has_values_) wrong("a row has no values");
    if (reason_.empty())
      message_.times_.push_back(*time_);
    else
      refuse(reason_);
    part_ = is_batch_ ? Part::batch : Part::done;
  }

  void refuse(const std::string &reason) {
    ++message_.refused_;
    message_.reason_ = reason;
  }

  RowMessage &message_;
  Part part_ = Part::message;
  Field field_ = Field::other;
  bool is_batch_ = false, has_values_ = false;
  std::optional<double> time_;
  // Of the row's values: how many came in a list, and which channel the last name was.
  size_t count_ = 0, place_ = kNowhere;
  int skipped_ = 0;
  // What is wrong with the row.
  std::string reason_;
};

RowMessage::RowMessage(std::vector<std::string> channels) : channels_(std::move(channels)) {
  for (size_t place = 0; place < channels_.size(); ++place) places_.emplace(channels_[place], place);
}

bool RowMessage::read(const char *payload, size_t size) {
  times_.clear();
  refused_ = 0;
  reason_.clear();
  if (size > kMostBytes) {
    reason_ = "it has more than " + std::to_string(kMostBytes) + " bytes";
    return false;
  }
  Reader reader(*this);
  if (nlohmann::json::sax_parse(payload, payload + size, &reader)) return true;
  times_.clear();
  return false;
}
