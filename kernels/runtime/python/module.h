// What the parts of the Python module share.
#pragma once

#include <nanobind/nanobind.h>

#include "edgekit/session.h"

namespace edgekit {

namespace nb = nanobind;

void bind_detect_anomalies(nb::module_ &module);
void bind_features(nb::module_ &module);
void bind_images(nb::module_ &module);
void bind_segment(nb::module_ &module);
void bind_series(nb::module_ &module);
void bind_session(nb::module_ &module);
void bind_text_generator(nb::module_ &module);
void bind_tokenizer(nb::module_ &module);

// The session that a Python object of the module's class Session holds.
Session &session_of(nb::handle session);

// Raises the last error: UsageError or EdgekitError of the module edgekit_runtime.errors.
[[noreturn]] void raise_last_error();

}  // namespace edgekit
