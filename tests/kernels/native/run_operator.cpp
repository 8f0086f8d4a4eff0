// Runs one operator through its C header: run_operator OPERATOR INPUTS OUTPUTS THREADS NUMBER...
//
// INPUTS and OUTPUTS are files of tensors (tensors.h); the numbers are the operator's sizes and options in the header's
// order. Prints the instruction set; a failure gives the operator's sentence on stderr and exit code 1.

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../../../kernels/bindings/sea_weights.h"
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

// A cache that was read: dtype, heads, capacity, size; its tensors k, v and, with int8, their scales.
edgekit_kv_cache make_cache(const Numbers &numbers, const Tensors &tensors, size_t first) {
  edgekit_kv_cache cache{static_cast<edgekit_dtype>(numbers.at(0)), numbers.at(1), numbers.at(2), numbers.at(3),
                         tensors.at(first).as(), tensors.at(first + 1).as(), nullptr, nullptr};
  if (cache.dtype == EDGEKIT_INT8) {
    cache.k_scale = tensors.at(first + 2).as<float>();
    cache.v_scale = tensors.at(first + 3).as<float>();
  }
  return cache;
}

// the cache's numbers, dtype, rows, start_pos; k, v and the cache's tensors to the cache's tensors
edgekit_status kv_append(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  for (size_t index = 2; index < inputs.size(); ++index) {
    outputs.emplace_back(inputs[index].size());
    std::memcpy(outputs.back().as(), inputs[index].as(), inputs[index].size());
  }
  const edgekit_kv_cache cache = make_cache(numbers, outputs, 0);
  Call call(threads, 0);
  return edgekit_kv_append(&call.context, &cache, static_cast<edgekit_dtype>(numbers.at(4)), inputs.at(0).as(),
                           inputs.at(1).as(), numbers.at(5), numbers.at(6));
}

// the cache's numbers, rows, cells, start_pos, k_budget; q, scores, gates, v_mean and the cache's tensors to out
edgekit_status sparse_topk_attention(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const edgekit_kv_cache cache = make_cache(numbers, inputs, 4);
  outputs.emplace_back(inputs.at(0).size());
  Call call(threads, edgekit_sparse_topk_attention_scratch(threads, cache.heads, numbers.at(5), cache.size));
  return edgekit_sparse_topk_attention(&call.context, &cache, inputs[0].as<float>(), inputs.at(1).as<float>(),
                                       inputs.at(2).as<float>(), inputs.at(3).as<float>(), numbers.at(4),
                                       numbers.at(5), numbers.at(6), numbers.at(7), outputs[0].as<float>());
}

edgekit_sea_weights make_weights(const Numbers &numbers, const Tensors &tensors, size_t first) {
  edgekit_sea_weights w{};
  w.heads = numbers.at(0);
  w.size = numbers.at(1);
  w.features = numbers.at(2);
  w.width = numbers.at(3);
  w.cells = numbers.at(4);
  w.taps = numbers.at(5);
  w.capacity = numbers.at(6);
  const edgekit::SeaWeightTable table(w);
  for (size_t index = 0; index < edgekit::kSeaWeights; ++index)
    if (index != edgekit::kMapStart) w.*table.weights[index].numbers = tensors.at(first + index).as<float>();
  w.map_start = tensors.at(first + edgekit::kMapStart).as<int64_t>();
  return w;
}

// the weights' sizes in the struct's order, rows, start_pos; q, k, v, the weights in the schema's order and the state
// to scores, gates, v_mean and the state
edgekit_status sea_estimate(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const edgekit_sea_weights w = make_weights(numbers, inputs, 3);
  const int64_t rows = numbers.at(7);
  for (const int64_t size : {w.cells, int64_t{2}, w.size})
    outputs.emplace_back(static_cast<size_t>(w.heads * rows * size) * 4);
  for (size_t index = 3 + edgekit::kSeaWeights; index < inputs.size(); ++index) {
    outputs.emplace_back(inputs[index].size());
    std::memcpy(outputs.back().as(), inputs[index].as(), inputs[index].size());
  }
  const edgekit_sea_state state{outputs.at(3).as<float>(), outputs.at(4).as<float>(), outputs.at(5).as<float>(),
                                outputs.at(6).as<float>(), outputs.at(7).as<float>()};
  Call call(threads, edgekit_sea_estimate_scratch(threads, &w, rows));
  return edgekit_sea_estimate(&call.context, &w, &state, inputs[0].as<float>(), inputs[1].as<float>(),
                              inputs[2].as<float>(), rows, numbers.at(8), outputs[0].as<float>(),
                              outputs[1].as<float>(), outputs[2].as<float>());
}

// the weights' sizes in the struct's order, the cache's numbers, start_pos, k_budget; q, k, v, the weights in the
// schema's order, the state and the cache's tensors to out, the state and the cache's tensors
edgekit_status sea_step(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const edgekit_sea_weights w = make_weights(numbers, inputs, 3);
  outputs.emplace_back(inputs.at(0).size());
  for (size_t index = 3 + edgekit::kSeaWeights; index < inputs.size(); ++index) {
    outputs.emplace_back(inputs[index].size());
    std::memcpy(outputs.back().as(), inputs[index].as(), inputs[index].size());
  }
  const edgekit_sea_state state{outputs.at(1).as<float>(), outputs.at(2).as<float>(), outputs.at(3).as<float>(),
                                outputs.at(4).as<float>(), outputs.at(5).as<float>()};
  const edgekit_kv_cache cache = make_cache({numbers.begin() + 7, numbers.end()}, outputs, 6);
  Call call(threads, edgekit_sea_step_scratch(threads, &w));
  return edgekit_sea_step(&call.context, &w, &state, &cache, inputs[0].as<float>(), inputs[1].as<float>(),
                          inputs[2].as<float>(), numbers.at(11), numbers.at(12), outputs[0].as<float>());
}

// rows, columns, entries, batch, n; crow, col, val, x to y
edgekit_status csr_matmul(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const int64_t rows = numbers.at(0), batch = numbers.at(3), n = numbers.at(4);
  outputs.emplace_back(static_cast<size_t>(batch * rows * n) * 4);
  Call call(threads, 0);
  return edgekit_csr_matmul(&call.context, rows, numbers.at(1), numbers.at(2), inputs.at(0).as<int64_t>(),
                            inputs.at(1).as<int64_t>(), inputs.at(2).as<float>(), inputs.at(3).as<float>(), batch, n,
                            outputs[0].as<float>());
}

// n, c, h, w, o, kh, kw, pad_h, pad_w, the activation in hundredths; x, weight, bias to y
edgekit_status conv2d(int threads, const Numbers &numbers, const Tensors &inputs, Tensors &outputs) {
  const int64_t n = numbers.at(0), c = numbers.at(1), h = numbers.at(2), w = numbers.at(3), o = numbers.at(4);
  const int64_t kh = numbers.at(5), kw = numbers.at(6), pad_h = numbers.at(7), pad_w = numbers.at(8);
  outputs.emplace_back(static_cast<size_t>(n * o * (h + 2 * pad_h - kh + 1) * (w + 2 * pad_w - kw + 1)) * 4);
  Call call(threads, edgekit_conv2d_scratch(threads, n, c, h, w, o, kh, kw, pad_h, pad_w));
  return edgekit_conv2d(&call.context, inputs.at(0).as<float>(), n, c, h, w, inputs.at(1).as<float>(), o, kh, kw,
                        inputs.at(2).as<float>(), pad_h, pad_w, static_cast<float>(numbers.at(9)) / 100.0f,
                        outputs[0].as<float>());
}

struct Operator {
  const char *name;
  edgekit_status (*run)(int, const Numbers &, const Tensors &, Tensors &);
};
constexpr Operator kOperators[] = {
    {"conv2d", conv2d},
    {"csr_matmul", csr_matmul},
    {"kv_append", kv_append},
    {"sea_estimate", sea_estimate},
    {"sea_step", sea_step},
    {"sparse_topk", sparse_topk},
    {"sparse_topk_attention", sparse_topk_attention},
};

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
