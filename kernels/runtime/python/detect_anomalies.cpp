// Anomaly detection for Python: answers go into the caller's arrays, the interpreter is released meanwhile.

#include "edgekit/detect_anomalies.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "module.h"

namespace edgekit {
namespace {

using Row = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T, size_t rank>
using Answer = nb::ndarray<T, nb::ndim<rank>, nb::c_contig, nb::device::cpu>;

void check(bool fits) {
  if (!fits) throw nb::value_error("an array does not have one place for each channel or row");
}

// The number of rows.
size_t check_answers(const Rows &rows, const Answer<float, 2> &errors, const Answer<float, 1> &scores,
                     const Answer<bool, 1> &alarms) {
  const size_t count = rows.shape(0), channels = rows.shape(1);
  check(errors.shape(0) == count && errors.shape(1) == channels && scores.size() == count && alarms.size() == count);
  return count;
}

class PythonAnomalyDetector {
 public:
  explicit PythonAnomalyDetector(const std::string &settings) : detector_(AnomalyDetector::read(settings.c_str())) {
    if (!detector_) raise_last_error();
  }

  std::vector<int> rank(const Row &errors) const {
    check_row(errors);
    std::vector<int> ranked(errors.size());
    detector_->rank(errors.data(), ranked.data());
    return ranked;
  }

  const char *diagnosis(const Row &errors) const {
    check_row(errors);
    return name_of(detector_->diagnosis(errors.data()));
  }

 private:
  void check_row(const Row &errors) const { check(errors.size() == static_cast<size_t>(detector_->channels())); }

  AnomalyDetectorPointer detector_;
};

class PythonAnomalyStream {
 public:
  explicit PythonAnomalyStream(AnomalyStreamPointer stream) : stream_(std::move(stream)) {}

  // (score, alarm, ranked, diagnosis), or nothing while rows are too few.
  std::optional<std::tuple<float, bool, std::vector<int>, const char *>> push(const Row &row,
                                                                              const Answer<float, 1> &errors) {
    check(row.size() == errors.size());
    RowResult result{};
    Push pushed;
    {
      const nb::gil_scoped_release released;
      pushed = stream_->push(row.data(), static_cast<int>(row.size()), &result);
    }
    if (pushed == Push::failed) raise_last_error();
    if (pushed == Push::filling) return std::nullopt;
    std::copy_n(result.errors, errors.size(), errors.data());
    return std::make_tuple(result.score, result.alarm, std::vector<int>(result.ranked, result.ranked + row.size()),
                           name_of(result.diagnosis));
  }

  void push_rows(const Rows &rows, const Answer<float, 2> &errors, const Answer<float, 1> &scores,
                 const Answer<bool, 1> &alarms) {
    const size_t count = check_answers(rows, errors, scores, alarms);
    bool done;
    {
      const nb::gil_scoped_release released;
      done = stream_->push_rows(rows.data(), static_cast<int64_t>(count), static_cast<int>(rows.shape(1)),
                                errors.data(), scores.data(), alarms.data());
    }
    if (!done) raise_last_error();
  }

  void reset() {
    if (!stream_->reset()) raise_last_error();
  }

 private:
  AnomalyStreamPointer stream_;
};

class PythonAnomalyPipeline {
 public:
  explicit PythonAnomalyPipeline(nb::handle session) : pipeline_(AnomalyPipeline::make(&session_of(session))) {
    if (!pipeline_) raise_last_error();
  }

  std::tuple<std::string, double> use_threshold(const std::string &threshold) {
    AnomalyDetector &detector = pipeline_->detector();
    if (!detector.use_threshold(threshold.c_str())) raise_last_error();
    return {detector.threshold_name(), detector.threshold()};
  }

  void detect(const Rows &rows, const Answer<float, 2> &errors, const Answer<float, 1> &scores,
              const Answer<bool, 1> &alarms) {
    const size_t count = check_answers(rows, errors, scores, alarms);
    bool done;
    {
      const nb::gil_scoped_release released;
      done = pipeline_->detect(rows.data(), static_cast<int64_t>(count), static_cast<int>(rows.shape(1)),
                               errors.data(), scores.data(), alarms.data());
    }
    if (!done) raise_last_error();
  }

  PythonAnomalyStream stream() {
    AnomalyStreamPointer stream = pipeline_->stream();
    if (!stream) raise_last_error();
    return PythonAnomalyStream(std::move(stream));
  }

 private:
  AnomalyPipelinePointer pipeline_;
};

}  // namespace

void bind_detect_anomalies(nb::module_ &module) {
  nb::class_<PythonAnomalyDetector>(module, "AnomalyDetector")
      .def(nb::init<const std::string &>())
      .def("rank", &PythonAnomalyDetector::rank)
      .def("diagnosis", &PythonAnomalyDetector::diagnosis);
  nb::class_<PythonAnomalyStream>(module, "AnomalyStream")
      .def("push", &PythonAnomalyStream::push)
      .def("push_rows", &PythonAnomalyStream::push_rows)
      .def("reset", &PythonAnomalyStream::reset);
  nb::class_<PythonAnomalyPipeline>(module, "AnomalyPipeline")
      .def(nb::init<nb::handle>(), nb::keep_alive<1, 2>())
      .def("use_threshold", &PythonAnomalyPipeline::use_threshold)
      .def("detect", &PythonAnomalyPipeline::detect)
      .def("stream", &PythonAnomalyPipeline::stream, nb::keep_alive<0, 1>());
}

}  // namespace edgekit
