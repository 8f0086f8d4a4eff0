// Runs the first method of a bundle on zeros, and prints the mean of every output: run_bundle BUNDLE
//
//     edgekit_DIR=$(python -c "import edgekit_runtime; print(edgekit_runtime.__path__[0])")/cmake
//     cmake -S examples/cpp -B build -Dedgekit_DIR=$edgekit_DIR && cmake --build build && build/run_bundle BUNDLE
#include <edgekit/session.h>

#include <cstdio>
#include <numeric>
#include <vector>

// Memory for tensors of these shapes, and the tensors.
struct Tensors {
  Tensors(const edgekit::TensorSpec *specs, int count) : memory(static_cast<size_t>(count)) {
    for (int index = 0; index < count; ++index) {
      const edgekit::TensorSpec &spec = specs[index];
      const size_t numbers = std::accumulate(spec.shape, spec.shape + spec.rank, size_t{1}, std::multiplies<size_t>());
      auto &room = memory[static_cast<size_t>(index)];
      room.resize(numbers * edgekit::size_of(spec.dtype) / sizeof room[0] + 1);
      tensors.push_back({room.data(), spec.dtype, spec.rank, spec.shape});
      counts.push_back(numbers);
    }
  }
  std::vector<std::vector<double>> memory;
  std::vector<edgekit::Tensor> tensors;
  std::vector<size_t> counts;
};

int main(int count, char **arguments) {
  const edgekit::SessionPointer session = count == 2 ? edgekit::Session::open(arguments[1]) : nullptr;
  if (!session) return std::fprintf(stderr, "%s\n", count == 2 ? edgekit::last_error() : "usage: run_bundle BUNDLE"), 1;
  const edgekit::MethodSpec &method = session->method(0);
  Tensors inputs(method.inputs, method.input_count), outputs(method.outputs, method.output_count);
  if (!session->run(method.name, inputs.tensors.data(), method.input_count, outputs.tensors.data(),
                    method.output_count))
    return std::fprintf(stderr, "%s\n", edgekit::last_error()), 1;
  for (int index = 0; index < method.output_count; ++index) {
    if (method.outputs[index].dtype != edgekit::DType::float32) continue;
    const auto *numbers = static_cast<const float *>(outputs.tensors[static_cast<size_t>(index)].data);
    const size_t size = outputs.counts[static_cast<size_t>(index)];
    std::printf("%s: mean %g\n", method.outputs[index].name,
                std::accumulate(numbers, numbers + size, 0.0) / static_cast<double>(size));
  }
  return 0;
}
