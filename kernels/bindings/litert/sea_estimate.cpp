// edgekit.sea_estimate: (q, k, v, start_pos, 22 weights, key_values, keys, values, conv1_rows, conv2_rows)
// -> (scores, gates, v_mean, and the state of the last row)

#include "../sea_weights.h"
#include "kernel.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "sea_estimate";
enum Input { kQ, kK, kV, kStartPos, kWeights };
constexpr size_t kState = kWeights + kSeaWeights;
constexpr size_t kStates = 5, kInputs = kState + kStates;

class SeaEstimate final : public Kernel {
 public:
  SeaEstimate() : Kernel(kName) {}

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), kInputs, kInputs);
    check_rank(kName, "q", inputs[kQ], 3);
    check_rank(kName, "map_start", inputs[kWeights + kMapStart], 1);
    const int64_t heads = inputs[kQ][0], rows = inputs[kQ][1], cells = inputs[kWeights + kMapStart][0];
    std::vector<Shape> outputs{{heads, rows, cells}, {heads, rows, 2}, inputs[kQ]};
    outputs.insert(outputs.end(), inputs.begin() + kState, inputs.end());
    return outputs;
  }

  void run(Call &call) const override {
    edgekit_sea_weights w = make_weights(call);
    const int64_t rows = call.inputs[kQ].shape[1];
    const Shape of_rows{w.heads, rows, w.size};
    const auto state = [&](size_t place, const char *argument, const Shape &shape) {
      return static_cast<float *>(call.state(kState + place, 3 + place, argument, Type::float32, shape));
    };
    const edgekit_sea_state states{state(0, "key_values", {w.heads, w.features, 2 * w.size}),
                                   state(1, "keys", {w.heads, w.features}), state(2, "values", {w.heads, w.size}),
                                   state(3, "conv1_rows", {4, 2 * w.heads, w.width}),
                                   state(4, "conv2_rows", {4, 2 * w.heads, w.width})};
    const edgekit_context context = call.context(edgekit_sea_estimate_scratch(call.threads(), &w, rows));
    call.check_status(edgekit_sea_estimate(
        &context, &w, &states, call.numbers(kQ, "q", of_rows), call.numbers(kK, "k", of_rows),
        call.numbers(kV, "v", of_rows), rows, call.place(kStartPos, "start_pos"),
        call.output(0, "scores", {w.heads, rows, w.cells}), call.output(1, "gates", {w.heads, rows, 2}),
        call.output(2, "v_mean", of_rows)));
  }

 private:
  // Takes the sizes from q and some of the weights, and checks the others' against them.
  static edgekit_sea_weights make_weights(Call &call) {
    const auto sizes = [&](size_t weight, const char *argument, int rank) -> const Shape & {
      const Tensor &tensor = call.inputs[kWeights + weight];
      call.check_rank(argument, tensor, rank);
      return tensor.shape;
    };
    call.check_rank("q", call.inputs[kQ], 3);
    edgekit_sea_weights w{};
    w.heads = call.inputs[kQ].shape[0];
    w.size = call.inputs[kQ].shape[2];
    w.features = sizes(kProjection, "projection", 2)[0];
    w.capacity = sizes(kPositions, "positions", 2)[0];
    w.width = sizes(kRowNormWeight, "row_norm_weight", 1)[0];
    w.cells = sizes(kMapWeight, "map_weight", 2)[0];
    w.taps = sizes(kMapWeight, "map_weight", 2)[1];
    const SeaWeightTable table(w);
    for (size_t index = 0; index < kSeaWeights; ++index) {
      const SeaWeight &weight = table.weights[index];
      const Shape shape(weight.shape, weight.rank);
      if (index == kMapStart) {
        w.map_start = call.indices(kWeights + index, weight.name, shape, call.scratch().indices);
      } else {
        w.*weight.numbers = call.numbers(kWeights + index, weight.name, shape);
      }
    }
    return w;
  }
};

}  // namespace

std::unique_ptr<Kernel> make_sea_estimate(const Attributes &) { return std::make_unique<SeaEstimate>(); }

}  // namespace edgekit::litert_binding
