// Where a target puts what the fuzzer made, for a parser that reads files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgekit::fuzz {

// The path of a file of this name in a folder of the process's own (in TMPDIR; whoever starts the target removes that).
std::string path_of(const std::string &name);

// Replaces the file; gives its path.
std::string write(const std::string &name, const void *data, size_t size);

// Ends the process, which the fuzzer reports, where a call failed without one sentence for its user.
void expect_sentence();

}  // namespace edgekit::fuzz
