// Loading a whole bundle: manifest, files, program, every method, and the task on top. The input is a manifest, a null
// byte, and the head of a program (the part that ExecuTorch verifies, in front of the segments that delegates read).
//
// EDGEKIT_FUZZ_BUNDLE is the folder of the bundle whose other bytes are taken as they are. Hashes are made anew: what is
// changed reaches ExecuTorch. A method runs only where the program is the bundle's own, byte by byte: operators believe
// the arguments of a program.

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "core/files.h"
#include "edgekit/detect_anomalies.h"
#include "edgekit/generate.h"
#include "edgekit/segment.h"
#include "file.h"
#include "json_mutation.h"
#include "sealed_bundle.h"

using namespace edgekit;

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

namespace {

constexpr char kProgram[] = "program.pte";

struct Seed {
  std::string folder, program;
  size_t head;
};

const Seed &seed_bundle() {
  static const Seed seed = [] {
    const char *folder = std::getenv("EDGEKIT_FUZZ_BUNDLE");
    if (folder == nullptr) std::abort();
    Seed found{folder, read_file(std::string(folder) + "/" + kProgram, 1 << 24), 0};
    // The extended header, behind the flatbuffer's first 8 bytes: "eh", its length, the flatbuffer's size.
    uint64_t head = 0;
    std::memcpy(&head, found.program.data() + 16, sizeof head);
    found.head = std::min<size_t>(head, found.program.size());
    // What the manifest lists lies beside it; it does not change.
    for (const char *name : {"samples.safetensors", "tokenizer.json", "LICENSES.txt", "sbom.cdx.json"})
      if (is_file(found.folder + "/" + name)) {
        const std::string content = read_file(found.folder + "/" + name, 1 << 24);
        fuzz::write(name, content.data(), content.size());
      }
    return found;
  }();
  return seed;
}

size_t end_of_manifest(const uint8_t *data, size_t size) {
  return static_cast<size_t>(std::find(data, data + size, 0) - data);
}

void run(Session &session, const MethodSpec &method) {
  std::vector<Tensor> tensors[2];
  std::vector<std::unique_ptr<void, decltype(&std::free)>> memory;
  for (const int side : {0, 1})
    for (int index = 0; index < (side == 0 ? method.input_count : method.output_count); ++index) {
      const TensorSpec &spec = side == 0 ? method.inputs[index] : method.outputs[index];
      size_t bytes = size_of(spec.dtype);
      for (int axis = 0; axis < spec.rank; ++axis)
        if (__builtin_mul_overflow(bytes, static_cast<size_t>(spec.shape[axis]), &bytes) || bytes > 1 << 20) return;
      // Kernels may read 16 bytes beyond an input; of an output everything behind it is watched.
      void *piece = nullptr;
      if (posix_memalign(&piece, 64, std::max<size_t>(side == 0 ? bytes + 16 : bytes, 1)) != 0) return;
      memory.emplace_back(piece, &std::free);
      std::memset(memory.back().get(), 0, bytes);
      tensors[side].push_back({memory.back().get(), spec.dtype, spec.rank, spec.shape});
    }
  if (!session.run(method.name, tensors[0].data(), method.input_count, tensors[1].data(), method.output_count))
    fuzz::expect_sentence();
}

void use(Session &session, bool runs, const uint8_t *data, size_t size) {
  for (int index = 0; index < std::min(session.method_count(), 4); ++index) {
    const MethodSpec &method = session.method(index);
    if (!session.load(method.name)) fuzz::expect_sentence();
    else if (runs) run(session, method);
  }
  if (const size_t state = session.state_size(); state > 0 && state < 1 << 20) {
    std::vector<uint8_t> saved(state);
    if (!session.save_state(saved.data(), state)) fuzz::expect_sentence();
    for (size_t place = 0; place < std::min(state, size); ++place) saved[state - 1 - place] ^= data[place];
    if (!session.restore_state(saved.data(), state)) fuzz::expect_sentence();
    if (runs) run(session, session.method(0));
  }
  if (!runs) return;
  if (std::strcmp(session.task(), "detect_anomalies") == 0) {
    const AnomalyPipelinePointer pipeline = AnomalyPipeline::make(&session);
    if (!pipeline) fuzz::expect_sentence();
  } else if (std::strcmp(session.task(), "segment") == 0) {
    const SegmentPipelinePointer pipeline = SegmentPipeline::open(&session);
    const std::vector<float> image(20 * 30, 0.5f);
    Segmentation found;
    if (!pipeline || !pipeline->segment(image.data(), {20, 30}, &found)) fuzz::expect_sentence();
  } else if (std::strcmp(session.task(), "generate_text") == 0) {
    const TextGeneratorPointer generator = TextGenerator::open(&session);
    Sampling sampling;
    sampling.max_tokens = 3;
    if (!generator || !generator->generate("the", 3, sampling)) fuzz::expect_sentence();
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned draw) {
  const size_t end = end_of_manifest(data, size);
  std::string manifest(reinterpret_cast<const char *>(data), end), program;
  if (end < size) program.assign(reinterpret_cast<const char *>(data) + end + 1, size - end - 1);
  std::string &part = draw % 2 == 0 || program.empty() ? manifest : program;
  if (&part == &manifest && draw % 8 != 0) {
    part = fuzz::changed_tree(manifest, draw / 8);
  } else {
    part.resize(part.size() + 64);
    part.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t *>(part.data()), part.size() - 64, part.size()));
  }
  if (manifest.size() + 1 + program.size() > most) return size;
  std::copy(manifest.begin(), manifest.end(), data);
  data[manifest.size()] = 0;
  std::copy(program.begin(), program.end(), data + manifest.size() + 1);
  return manifest.size() + 1 + program.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const Seed &seed = seed_bundle();
  const size_t end = end_of_manifest(data, size);
  const std::string manifest(reinterpret_cast<const char *>(data), end);
  std::string program(reinterpret_cast<const char *>(data) + std::min(end + 1, size), size - std::min(end + 1, size));
  const bool is_own = program == seed.program.substr(0, seed.head) || program.empty();
  if (is_own) program = seed.program;
  // Segments stay where they are.
  else if (program.size() < seed.head || seed.head == 0) program.append(seed.program, program.size(), std::string::npos);
  else program.replace(seed.head, std::string::npos, seed.program, seed.head, std::string::npos);
  const std::string path = fuzz::write(kProgram, program.data(), program.size());
  const std::string text = fuzz::sealed_with(manifest, kProgram, program);
  fuzz::write("manifest.json", text.data(), text.size());
  const SessionPointer session = Session::open(path.substr(0, path.rfind('/')).c_str());
  if (session) use(*session, is_own, data, size);
  else fuzz::expect_sentence();
  return 0;
}
