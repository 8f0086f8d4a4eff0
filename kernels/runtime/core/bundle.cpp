#include "bundle.h"

#include <dirent.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "dtype.h"
#include "files.h"
#include "parallel.h"
#include "sha256.h"
#include "signature.h"
#include "text.h"
#include "version.h"

namespace edgekit {
namespace {

constexpr char kManifest[] = "manifest.json";
constexpr uint64_t kLargestManifest = 16 << 20;
// Schemas that this library reads: its own, and the one before.
constexpr int64_t kSchemas[] = {1, 2};
// Objects and lists in each other; no manifest has more than a dozen.
constexpr const char *kFormats[] = {"pte", "tflite", "onnx"};
// Tensors are smaller than this, so that sums of their sizes cannot overflow.
constexpr int64_t kLargestTensor = int64_t{1} << 40;

Failure changed(const std::string &path) {
  return Failure(format("%s was changed after export: copy the bundle again or export it anew.", path.c_str()));
}

// The manifest's own hash covers its other fields; they are spelled as they would be without it: one line less.
bool is_unchanged(const std::string &text, const std::string &digest) {
  const std::string line = "\n  \"sha256\": \"" + digest + "\",";
  const size_t place = text.find(line);
  if (place == std::string::npos) return false;
  Sha256 found;
  found.add(text.data(), place);
  found.add(text.data() + place + line.size(), text.size() - place - line.size());
  return found.hex() == digest;
}

// A schema for a sentence; what is no number or word may be of any length.
std::string shown(const Json &schema) {
  if (schema.is_string()) return in_quotes(schema.get<std::string>());
  return schema.is_structured() ? "of no kind" : schema.dump();
}

bool lies_inside(const std::string &name) {
  if (name.empty() || name.front() == '/' || name.back() == '/') return false;
  if (name == kManifest || name == kSignatureName) return false;
  if (name.find('\\') != std::string::npos || name.find('\0') != std::string::npos) return false;
  size_t start = 0;
  while (start <= name.size()) {
    const size_t end = std::min(name.find('/', start), name.size());
    const std::string part = name.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return true;
}

void list(const std::string &folder, const std::string &prefix, std::vector<std::string> &files) {
  DIR *opened = opendir(folder.c_str());
  if (opened == nullptr) throw Failure(format("%s cannot be read: check its permissions.", folder.c_str()));
  while (const dirent *entry = readdir(opened)) {
    const std::string name = entry->d_name, path = folder + "/" + name;
    if (name == "." || name == "..") continue;
    if (is_folder(path) && !is_link(path)) {
      list(path, prefix + name + "/", files);
    } else {
      files.push_back(prefix + name);
    }
  }
  closedir(opened);
}

bool is_true(const JsonPart &part, const char *name) { return part.has(name) && part.part(name).value() == true; }

TensorText tensor_text(const JsonPart &part) {
  TensorText text{part.text("name"), part.text("units"), DType::float32, part.integers("shape"), false};
  if (!dtype_of(part.text("dtype"), text.dtype)) throw part.wrong("dtype");
  if (text.shape.size() > kMostDimensions) throw part.wrong("shape");
  int64_t count = 1;
  for (const int64_t size : text.shape) {
    if (size < 0 || size > kLargestTensor / count) throw part.wrong("shape");
    count *= std::max<int64_t>(size, 1);
  }
  text.dynamic = is_true(part, "dynamic");
  if (text.dynamic && text.shape.empty()) throw part.wrong("dynamic");
  return text;
}

StateText state_text(const JsonPart &part) {
  StateText text{part.text("name"), DType::float32, part.integers("shape")};
  if (!dtype_of(part.text("dtype"), text.dtype)) throw part.wrong("dtype");
  if (text.shape.size() > kMostDimensions) throw part.wrong("shape");
  int64_t count = 1;
  for (const int64_t size : text.shape) {
    if (size < 1 || size > kLargestTensor / count) throw part.wrong("shape");
    count *= size;
  }
  return text;
}

// A method's states by their places in the program's.
std::vector<size_t> places_of(const JsonPart &method, const std::vector<StateText> &states) {
  std::vector<size_t> places;
  if (!method.has("states")) return places;
  for (const std::string &name : method.texts("states")) {
    const auto found =
        std::find_if(states.begin(), states.end(), [&](const StateText &state) { return state.name == name; });
    if (found == states.end()) throw method.wrong("states");
    places.push_back(static_cast<size_t>(found - states.begin()));
  }
  return places;
}

std::vector<TensorText> tensor_texts(const JsonPart &method, const char *name) {
  std::vector<TensorText> texts;
  for (const JsonPart &part : method.parts(name)) texts.push_back(tensor_text(part));
  return texts;
}

}  // namespace

Bundle::Bundle(const std::string &folder, bool check_files, const char *public_key) : folder_(folder) {
  while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
  if (!is_folder(folder_))
    throw UsageFailure(format("there is no bundle %s: `edgekit export` makes one.", folder_.c_str()));
  std::vector<std::string> keys;
  if (public_key != nullptr) keys.emplace_back(public_key);
  if (std::string required = required_by_environment(); !required.empty()) keys.push_back(std::move(required));
  read_manifest(keys);
  // What was signed are the files' hashes.
  if (check_files || !keys.empty()) this->check_files();
}

void Bundle::read_manifest(const std::vector<std::string> &keys) {
  const std::string file = path(kManifest);
  if (!is_file(file)) throw Failure(format("%s is not a bundle: it has no %s.", folder_.c_str(), kManifest));
  if (is_link(file)) throw Failure(format("%s is a link: copy the bundle again.", file.c_str()));
  text_ = read_file(file, kLargestManifest);
  // Before anything is made of what it says.
  for (const std::string &key : keys) check_signature(folder_, text_, key);
  manifest_ = parse_json(text_);
  if (manifest_.is_discarded() || !manifest_.is_object() || !manifest_.contains("schema"))
    throw Failure(format("%s is damaged: copy the bundle again.", file.c_str()));
  const JsonPart fields = manifest();
  const int64_t schema = manifest_["schema"].is_number_integer() ? fields.integer("schema") : -1;
  if (std::find(std::begin(kSchemas), std::end(kSchemas), schema) == std::end(kSchemas))
    throw Failure(format("%s has schema %s, this edgekit %s reads 1, 2: install the edgekit that made it, or export the "
                         "bundle again.",
                         file.c_str(), shown(manifest_["schema"]).c_str(), runtime_version()));
  if (!manifest_.contains("sha256") || !manifest_["sha256"].is_string() ||
      !is_unchanged(text_, manifest_["sha256"].get<std::string>()))
    throw changed(file);
  const bool old = fields.has("minimum_runtime") &&
                   !is_new_enough(fields.part("minimum_runtime"), "edgekit", runtime_version());
  if (old)
    throw Failure(format("%s needs edgekit-runtime %s or newer, this is %s: install a newer one.", folder_.c_str(),
                         fields.part("minimum_runtime").text("edgekit").c_str(), runtime_version()));
  const JsonPart files = fields.part("files");
  if (!files.value().is_object()) throw fields.wrong("files");
  for (const auto &entry : files.value().items())
    if (!lies_inside(entry.key()))
      throw Failure(format("%s lists the file %s, which does not lie inside the bundle: do not use it.", file.c_str(),
                           in_quotes(entry.key()).c_str()));
}

void Bundle::check_files() const {
  const JsonPart files = manifest().part("files");
  std::vector<std::string> present;
  list(folder_, "", present);
  std::sort(present.begin(), present.end());
  for (const std::string &name : present)
    if (name != kManifest && (name != kSignatureName || is_link(path(name)) || !is_file(path(name))) &&
        !files.value().contains(name))
      throw Failure(format("%s does not belong to the bundle: remove it.", path(on_one_line(name)).c_str()));
  std::vector<std::string> names;
  for (const auto &item : files.value().items()) names.push_back(item.key());
  in_parallel(names.size(), [&](size_t index) {
    const std::string file = path(names[index]);
    const JsonPart entry(files.value()[names[index]], path(kManifest));
    const std::string shown = path(on_one_line(names[index]));
    if (is_link(file) || !is_file(file))
      throw Failure(format("%s is missing: copy the bundle again.", shown.c_str()));
    if (file_size(file) != static_cast<uint64_t>(entry.integer("bytes", 0)) || sha256_of(file) != entry.text("sha256"))
      throw changed(shown);
  });
}

size_t StateText::bytes() const {
  size_t count = size_of(dtype);
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

ProgramText Bundle::program() const {
  const auto is_listed = [&](const std::string &file) { return manifest().part("files").value().contains(file); };
  for (const JsonPart &part : manifest().parts("programs")) {
    ProgramText program{part.text("file"), part.text("format"), {}, part.texts("operators"), part.texts("delegates")};
    if (std::find(std::begin(kFormats), std::end(kFormats), program.format) == std::end(kFormats)) continue;
    if (!is_listed(program.file)) throw part.wrong("file");
    program.share_packed_weights = is_true(part, "share_packed_weights");
    program.states_in_place = is_true(part, "states_in_place");
    if (part.has("providers")) program.providers = part.texts("providers");
    if (part.has("states"))
      for (const JsonPart &state : part.parts("states")) program.states.push_back(state_text(state));
    for (const JsonPart &method : part.parts("methods")) {
      program.methods.push_back({method.text("name"), tensor_texts(method, "inputs"), tensor_texts(method, "outputs"),
                                 places_of(method, program.states),
                                 method.has("file") ? method.text("file") : program.file});
      if (!is_listed(program.methods.back().file)) throw method.wrong("file");
    }
    if (program.methods.empty()) throw part.wrong("methods");
    return program;
  }
  throw Failure(format("%s has no program that this library runs: install the edgekit-runtime that fits the edgekit that "
                       "made the bundle.",
                       path(kManifest).c_str()));
}

size_t Bundle::state() const {
  const JsonPart memory = manifest().part("memory");
  return memory.has("state") ? static_cast<size_t>(memory.integer("state", 0)) : 0;
}

}  // namespace edgekit
