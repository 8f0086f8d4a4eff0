// session_c.h: sessions.

#include <new>
#include <vector>

#include "call.h"

using edgekit::refuse_null;
using edgekit::status_of;

namespace {

static_assert(static_cast<int>(edgekit::DType::float32) == EDGEKIT_DTYPE_FLOAT32 &&
                  static_cast<int>(edgekit::DType::int8) == EDGEKIT_DTYPE_INT8 &&
                  static_cast<int>(edgekit::DType::boolean) == EDGEKIT_DTYPE_BOOL,
              "the dtypes of both headers are numbered alike");

std::vector<edgekit::Tensor> tensors(const edgekit_tensor *given, int count) {
  if (count < 0 || (count > 0 && given == nullptr)) throw edgekit::UsageFailure("the tensors of a call are NULL: give them.");
  std::vector<edgekit::Tensor> found;
  found.reserve(static_cast<size_t>(count));
  for (int index = 0; index < count; ++index) {
    const edgekit_tensor &one = given[index];
    if (one.dtype < EDGEKIT_DTYPE_FLOAT32 || one.dtype > EDGEKIT_DTYPE_BOOL || one.rank < 0 || one.data == nullptr ||
        (one.rank > 0 && one.shape == nullptr))
      throw edgekit::UsageFailure(edgekit::format(
          "tensor %d of a call has no data, no shape, or a dtype that does not exist: give all three.", index));
    found.push_back({one.data, static_cast<edgekit::DType>(one.dtype), one.rank, one.shape});
  }
  return found;
}

edgekit_session_status describe(const edgekit_session *session, const char *method, int index, bool is_input,
                                edgekit_tensor_spec *spec) {
  return status_of(edgekit::guarded([&] {
    const edgekit::MethodSpec *found = session->session->find_method(method);
    if (found == nullptr)
      throw edgekit::UsageFailure(
          edgekit::format("%s has no method '%s'.", session->session->folder(), method));
    const int count = is_input ? found->input_count : found->output_count;
    if (index < 0 || index >= count)
      throw edgekit::UsageFailure(edgekit::format("method '%s' has %d %s, there is no number %d.", method, count,
                                                  is_input ? "inputs" : "outputs", index));
    const edgekit::TensorSpec &one = is_input ? found->inputs[index] : found->outputs[index];
    *spec = {one.name,  static_cast<edgekit_session_dtype>(one.dtype), one.rank, one.shape, one.dynamic, one.units};
    return true;
  }));
}

}  // namespace

int edgekit_session_c_version(void) { return EDGEKIT_SESSION_C_VERSION; }

const char *edgekit_session_last_error(void) { return edgekit::last_error(); }

const char *edgekit_session_runtime_version(void) { return edgekit::runtime_version(); }

edgekit_session_status edgekit_session_set_threads(int count) { return status_of(edgekit::set_threads(count)); }

edgekit_session_status edgekit_session_open(const char *folder, const edgekit_session_options *options,
                                            edgekit_session **session) {
  if (folder == nullptr || session == nullptr) return refuse_null("edgekit_session_open");
  *session = nullptr;
  edgekit::Options wanted;
  if (options != nullptr) {
    wanted.check_files = !options->skip_file_check;
    wanted.check_finite = !options->skip_finite_check;
    wanted.public_key = options->public_key;
  }
  edgekit::SessionPointer opened = edgekit::Session::open(folder, wanted);
  if (!opened) return status_of(false);
  return status_of(edgekit::guarded([&] {
    *session = new edgekit_session{std::move(opened)};
    return true;
  }));
}

void edgekit_session_close(edgekit_session *session) { delete session; }

const char *edgekit_session_task(const edgekit_session *session) {
  return session == nullptr ? nullptr : session->session->task();
}

const char *edgekit_session_manifest(const edgekit_session *session) {
  return session == nullptr ? nullptr : session->session->manifest();
}

int edgekit_session_method_count(const edgekit_session *session) {
  return session == nullptr ? 0 : session->session->method_count();
}

const char *edgekit_session_method(const edgekit_session *session, int index, int *inputs, int *outputs) {
  if (index < 0 || index >= edgekit_session_method_count(session)) return nullptr;
  const edgekit::MethodSpec &method = session->session->method(index);
  if (inputs != nullptr) *inputs = method.input_count;
  if (outputs != nullptr) *outputs = method.output_count;
  return method.name;
}

edgekit_session_status edgekit_session_input(const edgekit_session *session, const char *method, int index,
                                             edgekit_tensor_spec *spec) {
  if (session == nullptr || method == nullptr || spec == nullptr) return refuse_null("edgekit_session_input");
  return describe(session, method, index, true, spec);
}

edgekit_session_status edgekit_session_output(const edgekit_session *session, const char *method, int index,
                                              edgekit_tensor_spec *spec) {
  if (session == nullptr || method == nullptr || spec == nullptr) return refuse_null("edgekit_session_output");
  return describe(session, method, index, false, spec);
}

edgekit_session_status edgekit_session_load(edgekit_session *session, const char *method) {
  if (session == nullptr || method == nullptr) return refuse_null("edgekit_session_load");
  return status_of(session->session->load(method));
}

edgekit_session_status edgekit_session_run(edgekit_session *session, const char *method, const edgekit_tensor *inputs,
                                           int input_count, const edgekit_tensor *outputs, int output_count,
                                           int64_t *rows) {
  if (session == nullptr || method == nullptr) return refuse_null("edgekit_session_run");
  return status_of(edgekit::guarded([&] {
    const auto given = tensors(inputs, input_count), wanted = tensors(outputs, output_count);
    return session->session->run(method, given.data(), input_count, wanted.data(), output_count, rows);
  }));
}

edgekit_session_status edgekit_session_use_state(edgekit_session *session, const char *name) {
  if (session == nullptr || name == nullptr) return refuse_null("edgekit_session_use_state");
  return status_of(session->session->use_state(name));
}

edgekit_session_status edgekit_session_drop_state(edgekit_session *session, const char *name) {
  if (session == nullptr || name == nullptr) return refuse_null("edgekit_session_drop_state");
  return status_of(session->session->drop_state(name));
}

edgekit_session_status edgekit_session_reset_state(edgekit_session *session) {
  if (session == nullptr) return refuse_null("edgekit_session_reset_state");
  return status_of(session->session->reset_state());
}

size_t edgekit_session_state_size(const edgekit_session *session) {
  return session == nullptr ? 0 : session->session->state_size();
}

edgekit_session_status edgekit_session_save_state(edgekit_session *session, void *to, size_t size) {
  if (session == nullptr || (to == nullptr && size > 0)) return refuse_null("edgekit_session_save_state");
  return status_of(session->session->save_state(to, size));
}

edgekit_session_status edgekit_session_restore_state(edgekit_session *session, const void *from, size_t size) {
  if (session == nullptr || (from == nullptr && size > 0)) return refuse_null("edgekit_session_restore_state");
  return status_of(session->session->restore_state(from, size));
}
