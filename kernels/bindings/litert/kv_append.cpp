// edgekit.kv_append: (k, v, start_pos, k_cache, v_cache[, k_scale, v_scale]) -> the caches and scales, with the rows

#include "kv_cache.h"

namespace edgekit::litert_binding {
namespace {

constexpr char kName[] = "kv_append";
enum Input { kK, kV, kStartPos, kKCache, kVCache, kKScale, kVScale };

class KvAppend final : public Kernel {
 public:
  KvAppend() : Kernel(kName) {}

  std::vector<Shape> shapes(const std::vector<Shape> &inputs) const override {
    check_count(kName, inputs.size(), kVCache + 1, kVScale + 1);
    return {inputs.begin() + kKCache, inputs.end()};
  }

  void run(Call &call) const override {
    const Tensor &k = call.inputs[kK], &k_cache = call.inputs[kKCache];
    call.check_rank("k", k, 3);
    call.check_rank("k_cache", k_cache, 3);
    const Shape shape = k_cache.shape;
    const int64_t heads = shape[0], capacity = shape[1], size = shape[2], rows = k.shape[1];
    if (k.type != Type::float32 && k.type != Type::float16)
      throw failure("%s: k is neither float32 nor float16.", kName);
    call.check("k", k, k.type, {heads, rows, size});
    call.check("v", call.inputs[kV], k.type, {heads, rows, size});
    edgekit_kv_cache cache{cache_dtype(call, k_cache), heads, capacity, size, nullptr, nullptr, nullptr, nullptr};
    cache.k = call.state(kKCache, 0, "k_cache", k_cache.type, shape);
    cache.v = call.state(kVCache, 1, "v_cache", k_cache.type, shape);
    if (call.inputs.size() > kVScale) {
      cache.k_scale = static_cast<float *>(call.state(kKScale, 2, "k_scale", Type::float32, {heads, capacity}));
      cache.v_scale = static_cast<float *>(call.state(kVScale, 3, "v_scale", Type::float32, {heads, capacity}));
    }
    const edgekit_context context = call.context(0);
    call.check_status(edgekit_kv_append(&context, &cache, k.type == Type::float32 ? EDGEKIT_FLOAT32 : EDGEKIT_FLOAT16,
                                        k.data, call.inputs[kV].data, rows, call.place(kStartPos, "start_pos")));
  }
};

}  // namespace

std::unique_ptr<Kernel> make_kv_append(const Attributes &) { return std::make_unique<KvAppend>(); }

}  // namespace edgekit::litert_binding
