// A bundle on disk: its manifest, and whether its files are those that were exported.
#pragma once

#include <string>
#include <vector>

#include "edgekit/session.h"
#include "json.h"

namespace edgekit {

// A method's description, owned; what the public structures point to.
struct TensorText {
  std::string name, units;
  DType dtype;
  std::vector<int64_t> shape;
  bool dynamic;
};
struct MethodText {
  std::string name;
  std::vector<TensorText> inputs, outputs;
  // What it takes after its inputs and gives after its outputs, by place in the program's states.
  std::vector<size_t> states;
  // Its own program file, where a format has one a method; else the program's.
  std::string file;
};

// What methods remember from call to call, in formats whose graphs take it in and give it out. Zeros at first.
struct StateText {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;

  size_t bytes() const;
};

struct ProgramText {
  std::string file, format;
  std::vector<MethodText> methods;
  std::vector<std::string> operators, delegates;
  std::vector<StateText> states;
  // Whether a method may be given the same memory for a state that it takes and the same state that it gives.
  bool states_in_place = false;
  // What is to run it, the preferred first; where a format leaves the choice.
  std::vector<std::string> providers;
  // Whether weights of the same bytes are the same to a delegate, wherever they are used.
  bool share_packed_weights = false;
};

class Bundle {
 public:
  // Reads the manifest, and with `check_files` compares every file with its hash. With `public_key`, or where the
  // environment names one, the manifest must be signed with that key, and files are compared in any case.
  Bundle(const std::string &folder, bool check_files, const char *public_key = nullptr);

  const std::string &folder() const { return folder_; }
  const std::string &text() const { return text_; }
  JsonPart manifest() const { return {manifest_, path("manifest.json")}; }
  std::string path(const std::string &file) const { return folder_ + "/" + file; }
  std::string task() const { return manifest().part("pipeline").text("name"); }
  // The first program, whose format this library knows.
  ProgramText program() const;
  // Bytes of what methods remember from call to call, 0 if they do not.
  size_t state() const;

 private:
  void read_manifest(const std::vector<std::string> &keys);
  void check_files() const;

  std::string folder_, text_;
  Json manifest_;
};

}  // namespace edgekit
