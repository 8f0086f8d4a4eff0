// tokenizer.json: the vocabulary, merges and added tokens; then texts there and back with what was read.

#include "edgekit/tokenizer.h"

#include <string_view>
#include <vector>

#include "file.h"
#include "json_mutation.h"

using namespace edgekit;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  return fuzz::mutate_json(data, size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const TokenizerPointer tokenizer = Tokenizer::open(fuzz::write("tokenizer.json", data, size).c_str());
  if (!tokenizer) return fuzz::expect_sentence(), 0;
  // The file's own end as a text too: it is often none that is UTF-8.
  const std::string_view tail(reinterpret_cast<const char *>(data) + size - size / 8, size / 8);
  for (const std::string_view text : {std::string_view(" the red cat's </s>  \n \xE2\x98\x83 1234"), tail}) {
    std::vector<int64_t> tokens(2 * text.size() + 2);
    size_t count = 0, length = 0;
    if (!tokenizer->encode(text.data(), text.size(), tokens.data(), tokens.size(), &count)) {
      fuzz::expect_sentence();
      continue;
    }
    if (count > tokens.size()) __builtin_trap();
    for (size_t place = 0; place < count; ++place)
      if (tokens[place] < 0 || tokens[place] >= tokenizer->size()) __builtin_trap();
    std::vector<char> back(16);
    if (!tokenizer->decode(tokens.data(), count, back.data(), back.size(), &length)) __builtin_trap();
    const TextStreamPointer stream = tokenizer->stream();
    for (size_t place = 0; place < count; ++place)
      if (stream->add(tokens[place], &length) == nullptr) __builtin_trap();
  }
  return 0;
}
