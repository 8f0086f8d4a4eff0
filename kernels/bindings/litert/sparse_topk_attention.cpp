// edgekit.sparse_topk_attention?k_budget=: (q, k_cache, v_cache, scores, gates, v_mean, start_pos[, k_scale, v_scale])
// -> (out)

#include "kv_cache.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "sparse_topk_attention";
enum Input { kQ, kKCache, kVCache, kScores, kGates, kVMean, kStartPos, kKScale, kVScale };

class SparseTopkAttention final : public Kernel {
 public:
  explicit SparseTopkAttention(const Attributes &attributes)
      : Kernel(kName), k_budget_(attributes.integer("k_budget")) {}

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), kStartPos + 1, kVScale + 1);
    return {inputs[kQ]};
  }

  void run(Call &call) const override {
    const Tensor &q = call.inputs[kQ], &k = call.inputs[kKCache], &v = call.inputs[kVCache];
    call.check_rank("q", q, 3);
    call.check_rank("k_cache", k, 3);
    call.check_rank("scores", call.inputs[kScores], 3);
    const int64_t heads = k.shape[0], capacity = k.shape[1], size = k.shape[2], rows = q.shape[1];
    const int64_t cells = call.inputs[kScores].shape[2];
    edgekit_kv_cache cache{cache_dtype(call, k), heads, capacity, size, k.data, v.data, nullptr, nullptr};
    call.check("v_cache", v, k.type, k.shape);
    if (call.inputs.size() > kVScale) {  // read only
      cache.k_scale = const_cast<float *>(call.numbers(kKScale, "k_scale", {heads, capacity}));
      cache.v_scale = const_cast<float *>(call.numbers(kVScale, "v_scale", {heads, capacity}));
    }
    const edgekit_context context =
        call.context(edgekit_sparse_topk_attention_scratch(call.threads(), heads, cells, size));
    call.check_status(edgekit_sparse_topk_attention(
        &context, &cache, call.numbers(kQ, "q", {heads, rows, size}),
        call.numbers(kScores, "scores", {heads, rows, cells}), call.numbers(kGates, "gates", {heads, rows, 2}),
        call.numbers(kVMean, "v_mean", {heads, rows, size}), rows, cells, call.place(kStartPos, "start_pos"), k_budget_,
        call.output(0, "out", {heads, rows, size})));
  }

 private:
  const int64_t k_budget_;
};

}  // namespace

std::unique_ptr<Kernel> make_sparse_topk_attention(const Attributes &attributes) {
  return std::make_unique<SparseTopkAttention>(attributes);
}

}  // namespace edgekit::litert_binding
