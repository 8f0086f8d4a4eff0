// Files, read whole and written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgekit {

bool is_file(const std::string &path);
bool is_folder(const std::string &path);
bool is_link(const std::string &path);
uint64_t file_size(const std::string &path);

// A folder and those that it lies in, where they are not there yet.
void make_folders(const std::string &folder);

// A file's bytes; `what` begins the sentence when it cannot be read. At most `most` bytes are taken.
std::string read_file(const std::string &path, uint64_t most);

// Writes a file, whole or not at all: under a name beside it that then becomes its own. Its folder is made.
void write_file(const std::string &path, const void *data, size_t size);

// SHA-256 of a file, in hexadecimal digits.
std::string sha256_of(const std::string &path);

}  // namespace edgekit
