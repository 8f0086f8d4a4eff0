// JSON that is changed as a tree: parts dropped, doubled, moved or replaced. Bytes that are changed by chance seldom stay
// JSON, and then nothing behind the parser is reached.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgekit::fuzz {

// The text with some parts changed; the text itself where it is no JSON. Spelled with two spaces.
std::string changed_tree(const std::string &text, unsigned seed);

// For LLVMFuzzerCustomMutator: half of the time the tree, else bytes. Gives the new size.
size_t mutate_json(uint8_t *data, size_t size, size_t most, unsigned seed);

}  // namespace edgekit::fuzz
