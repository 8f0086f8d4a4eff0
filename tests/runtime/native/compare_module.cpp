// A session beside ExecuTorch's Module on the same program, in turns: compare_module BUNDLE METHOD RUNS
//
// Prints, as JSON, the microseconds of every run of both, and what each allocates in as many runs, by the library that
// asks for the memory. Methods have float32 inputs.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "allocations.h"
#include "edgekit/session.h"

namespace {

using Clock = std::chrono::steady_clock;
using executorch::extension::Module;
using executorch::runtime::EValue;

struct Numbers {
  explicit Numbers(const edgekit::TensorSpec *specs, int count) {
    for (int index = 0; index < count; ++index) {
      size_t size = edgekit::size_of(specs[index].dtype);
      for (int dimension = 0; dimension < specs[index].rank; ++dimension)
        size *= static_cast<size_t>(specs[index].shape[dimension]);
      auto *memory = static_cast<float *>(std::aligned_alloc(64, (size + 63) / 64 * 64));
      for (size_t place = 0; place < size / sizeof(float); ++place) memory[place] = 0.5f;
      tensors.push_back({memory, specs[index].dtype, specs[index].rank, specs[index].shape});
    }
  }
  Numbers(const Numbers &) = delete;
  Numbers &operator=(const Numbers &) = delete;
  ~Numbers() {
    for (const edgekit::Tensor &tensor : tensors) std::free(tensor.data);
  }
  std::vector<edgekit::Tensor> tensors;
};

int fail(const std::string &sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return 1;
}

void print(const char *name, const std::vector<double> &times, const std::map<std::string, long> &allocated,
           const char *end) {
  std::printf("\"%s\": {\"us\": [", name);
  for (size_t index = 0; index < times.size(); ++index) std::printf("%s%.3f", index == 0 ? "" : ", ", times[index]);
  std::printf("], \"allocations\": {");
  const char *between = "";
  for (const auto &[library, count] : allocated) {
    std::printf("%s\"%s\": %ld", between, library.c_str(), count);
    between = ", ";
  }
  std::printf("}}%s\n", end);
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 4) return fail("usage: compare_module BUNDLE METHOD RUNS");
  const std::string folder = arguments[1], name = arguments[2];
  const int runs = std::atoi(arguments[3]);
  const edgekit::SessionPointer session = edgekit::Session::open(folder.c_str());
  if (!session) return fail(edgekit::last_error());
  const edgekit::MethodSpec *method = session->find_method(name.c_str());
  if (method == nullptr) return fail("there is no method " + name);
  const Numbers inputs(method->inputs, method->input_count), outputs(method->outputs, method->output_count);
  const auto run_session = [&] {
    return session->run(method->name, inputs.tensors.data(), method->input_count, outputs.tensors.data(),
                        method->output_count);
  };

  Module module(folder + "/program.pte");
  std::vector<executorch::extension::TensorPtr> kept;
  std::vector<EValue> values;
  for (const edgekit::Tensor &tensor : inputs.tensors) {
    const std::vector<executorch::aten::SizesType> sizes(tensor.shape, tensor.shape + tensor.rank);
    kept.push_back(executorch::extension::make_tensor_ptr(sizes, tensor.data));
    values.emplace_back(*kept.back());
  }
  // Of outputs that the program leaves to the caller.
  const auto meta = module.method_meta(name);
  if (!meta.ok()) return fail("the program has no method " + name);
  for (size_t index = 0; index < outputs.tensors.size(); ++index) {
    if (meta->output_tensor_meta(index)->is_memory_planned()) continue;
    const edgekit::Tensor &tensor = outputs.tensors[index];
    const std::vector<executorch::aten::SizesType> sizes(tensor.shape, tensor.shape + tensor.rank);
    kept.push_back(executorch::extension::make_tensor_ptr(sizes, tensor.data));
    if (module.set_output(name, *kept.back(), index) != executorch::runtime::Error::Ok)
      return fail("an output cannot be set");
  }
  const auto run_module = [&] { return module.execute(name, values).ok(); };

  for (int run = 0; run < 3; ++run)
    if (!run_session() || !run_module()) return fail(std::string("a run failed: ") + edgekit::last_error());
  bool done = true;
  std::vector<double> of_session, of_module;
  for (int run = 0; run < runs; ++run) {
    const auto start = Clock::now();
    done = run_session() && done;
    const auto middle = Clock::now();
    done = run_module() && done;
    const auto end = Clock::now();
    of_session.push_back(std::chrono::duration<double, std::micro>(middle - start).count());
    of_module.push_back(std::chrono::duration<double, std::micro>(end - middle).count());
  }
  const auto session_allocates = allocations::counted([&] {
    for (int run = 0; run < runs; ++run) done = run_session() && done;
  });
  const auto module_allocates = allocations::counted([&] {
    for (int run = 0; run < runs; ++run) done = run_module() && done;
  });
  if (!done) return fail(std::string("a run failed: ") + edgekit::last_error());
  std::printf("{");
  print("session", of_session, session_allocates, ",");
  print("module", of_module, module_allocates, "}");
  return 0;
}
