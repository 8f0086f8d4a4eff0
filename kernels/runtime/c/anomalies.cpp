// session_c.h: sensors.

#include "call.h"
#include "edgekit/detect_anomalies.h"

using edgekit::refuse_null;
using edgekit::status_of;

struct edgekit_anomaly_stream {
  edgekit::AnomalyPipelinePointer pipeline;
  edgekit::AnomalyStreamPointer stream;  // goes before the pipeline
};

edgekit_session_status edgekit_anomaly_stream_open(edgekit_session *session, edgekit_anomaly_stream **stream) {
  if (session == nullptr || stream == nullptr) return refuse_null("edgekit_anomaly_stream_open");
  *stream = nullptr;
  edgekit::AnomalyPipelinePointer pipeline = edgekit::AnomalyPipeline::make(session->session.get());
  if (!pipeline) return status_of(false);
  edgekit::AnomalyStreamPointer fresh = pipeline->stream();
  if (!fresh) return status_of(false);
  return status_of(edgekit::guarded([&] {
    *stream = new edgekit_anomaly_stream{std::move(pipeline), std::move(fresh)};
    return true;
  }));
}

void edgekit_anomaly_stream_close(edgekit_anomaly_stream *stream) { delete stream; }

int edgekit_anomaly_stream_window(const edgekit_anomaly_stream *stream) {
  return stream == nullptr ? 0 : stream->pipeline->detector().window();
}

int edgekit_anomaly_stream_channels(const edgekit_anomaly_stream *stream) {
  return stream == nullptr ? 0 : stream->pipeline->detector().channels();
}

const char *edgekit_anomaly_stream_channel(const edgekit_anomaly_stream *stream, int index) {
  const bool exists = index >= 0 && index < edgekit_anomaly_stream_channels(stream);
  return exists ? stream->pipeline->detector().channel(index) : nullptr;
}

edgekit_session_status edgekit_anomaly_stream_use_threshold(edgekit_anomaly_stream *stream, const char *threshold) {
  if (stream == nullptr || threshold == nullptr) return refuse_null("edgekit_anomaly_stream_use_threshold");
  return status_of(stream->pipeline->detector().use_threshold(threshold));
}

edgekit_session_status edgekit_anomaly_stream_push(edgekit_anomaly_stream *stream, const float *row, int channels,
                                                   edgekit_row_result *result) {
  if (stream == nullptr || row == nullptr || result == nullptr) return refuse_null("edgekit_anomaly_stream_push");
  edgekit::RowResult found{};
  const edgekit::Push came = stream->stream->push(row, channels, &found);
  *result = {};
  if (came == edgekit::Push::failed) return status_of(false);
  if (came == edgekit::Push::scored)
    *result = {true, found.alarm, found.score, found.errors, found.ranked, edgekit::name_of(found.diagnosis)};
  return EDGEKIT_SESSION_OK;
}

edgekit_session_status edgekit_anomaly_stream_push_rows(edgekit_anomaly_stream *stream, const float *rows,
                                                        int64_t count, int channels, float *errors, float *scores,
                                                        bool *alarms) {
  if (stream == nullptr || rows == nullptr || errors == nullptr || scores == nullptr || alarms == nullptr)
    return refuse_null("edgekit_anomaly_stream_push_rows");
  return status_of(stream->stream->push_rows(rows, count, channels, errors, scores, alarms));
}

edgekit_session_status edgekit_anomaly_stream_rank(const edgekit_anomaly_stream *stream, const float *errors,
                                                   int *ranked, const char **diagnosis) {
  if (stream == nullptr || errors == nullptr || ranked == nullptr || diagnosis == nullptr)
    return refuse_null("edgekit_anomaly_stream_rank");
  const edgekit::AnomalyDetector &detector = stream->pipeline->detector();
  detector.rank(errors, ranked);
  *diagnosis = edgekit::name_of(detector.diagnosis(errors));
  return EDGEKIT_SESSION_OK;
}

edgekit_session_status edgekit_anomaly_stream_reset(edgekit_anomaly_stream *stream) {
  if (stream == nullptr) return refuse_null("edgekit_anomaly_stream_reset");
  return status_of(stream->stream->reset());
}
