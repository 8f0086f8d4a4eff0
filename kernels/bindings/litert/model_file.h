// The custom operators of a `.tflite` file, for runtimes that ask for names before they read it.
#pragma once

#include <string>
#include <vector>

namespace edgekit::litert_binding {

// Throws Failure where there is no such file, or it is no `.tflite`.
std::vector<std::string> custom_codes(const char *file);

}  // namespace edgekit::litert_binding
