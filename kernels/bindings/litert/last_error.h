#pragma once

namespace edgekit::litert_binding {

// Keeps the sentence for edgekit_litert_last_error().
void set_last_error(const char *sentence) noexcept;

}  // namespace edgekit::litert_binding
