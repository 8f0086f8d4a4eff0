// Runs one operator through its C header: run_operator OPERATOR INPUTS OUTPUTS THREADS NUMBER...
//
// INPUTS and OUTPUTS are files of tensors (tensors.h); the numbers are the operator's sizes and options in the header's
// order. Prints the instruction set; a failure gives the operator's sentence on stderr and exit code 1.

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "edgekit/ops.h"
#include "tensors.h"

namespace {

using Numbers = std::vector<int64_t>;
using Tensors = std::vector<Buffer>;

// A thread for every task: slow, and enough to find a race.
void run_tasks(void *, int tasks, void (*task)(void *, int), void *argument) {
  std::vector<std::thread> running;
  for (int index = 0; index < tasks; ++index) running.emplace_back(task, argument, index);
  for (std::thread &thread : running) thread.join();
}

struct Call {
  explicit Call(int threads, size_t size)
      : scratch(size), context{scratch.as(), scratch.size(), threads, run_tasks, nullptr} {}
  Buffer scratch;
  edgekit_context context;
};

// dtype, rows, n, k, sorted; x to values, indices
edgekit_status sparse_topk(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const auto dtype = static_cast<edgekit_dtype>(numbers.at(0));
  const int64_t rows = numbers.at(1), n = numbers.at(2), k = numbers.at(3);
  outputs.emplace_back(static_cast<size_t>(rows * k) * (dtype == EDGEKIT_FLOAT16 ? 2 : 4));
  outputs.emplace_back(static_cast<size_t>(rows * k) * 8);
  Call call(threads, edgekit_sparse_topk_scratch(threads, n, k));
  return edgekit_sparse_topk(&call.context, dtype, inputs.at(0).as(), rows, n, k, numbers.at(4) != 0, outputs[0].as(),
                             outputs[1].as<int64_t>());
}

struct Operator {
  const char *name;
  edgekit_status (*run)(int, const Numbers &, const Tensors &, Tensors &);
};
constexpr Operator kOperators[] = {{"sparse_topk", sparse_topk}};

}  // namespace

int main(int count, char **arguments) {
  if (count < 5) {
    std::fprintf(stderr, "usage: run_operator OPERATOR INPUTS OUTPUTS THREADS NUMBER...\n");
    return 2;
  }
  Numbers numbers;
  for (int index = 5; index < count; ++index) numbers.push_back(std::stoll(arguments[index]));
  for (const Operator &candidate : kOperators) {
    if (std::strcmp(candidate.name, arguments[1]) != 0) continue;
    const Tensors inputs = read_tensors(arguments[2]);
    Tensors outputs;
    if (candidate.run(std::stoi(arguments[4]), numbers, inputs, outputs) != EDGEKIT_OK) {
      std::fprintf(stderr, "%s\n", edgekit_last_error());
      return 1;
    }
    std::ofstream file(arguments[3], std::ios::binary);
    for (const Buffer &output : outputs) write_tensor(file, output.as(), static_cast<int64_t>(output.size()));
    std::printf("%s\n", edgekit_isa());
    return 0;
  }
  std::fprintf(stderr, "there is no operator %s\n", arguments[1]);
  return 2;
}
