// features.json, as a bundle with two layers of two features has it.

#include "pipelines/features_file.h"

#include "core/failure.h"
#include "file.h"
#include "json_mutation.h"

using namespace edgekit;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  return fuzz::mutate_json(data, size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ExplainSettings settings{{1, 2}, 2, 1, fuzz::write("features.json", data, size), {}};
  const bool read = guarded([&] {
    const auto layers = read_features(settings);
    if (layers.size() != 2 || layers[0].size() != 2 || layers[1].size() != 2) __builtin_trap();
    return true;
  });
  if (!read) fuzz::expect_sentence();
  return 0;
}
