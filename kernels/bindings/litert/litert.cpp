// Operators for LiteRT's C interface: one registration for each name that a model calls.

#include "edgekit/litert.h"

#include <algorithm>
#include <string>

#include "kernel.h"
#include "last_error.h"
#include "litert_c.h"
#include "pool.h"

namespace edgekit::litert_binding {
namespace {

struct Registered {
  edgekit_litert_operators *owner;
  std::string code;
  std::unique_ptr<Kernel> kernel;
};

}  // namespace
}  // namespace edgekit::litert_binding

using namespace edgekit::litert_binding;
namespace litert = edgekit::litert;

struct edgekit_litert_operators {
  edgekit_litert_operators(void *library, const edgekit_context *wanted)
      : api(library), threads(pool, wanted == nullptr ? 1 : wanted->threads) {
    context = wanted != nullptr && wanted->parallel != nullptr ? *wanted : threads.context();
  }

  // The first of a run is kept: those after it follow from it.
  void fail(const char *sentence) {
    if (error.empty()) error = sentence;
  }

  LitertFunctions api;
  Pool pool;
  Threads threads;
  edgekit_context context;
  Scratch scratch;
  std::vector<std::unique_ptr<Registered>> registered;
  std::string error, asked;
};

namespace {

// A tensor's memory while an operator uses it.
class Locked {
 public:
  Locked(const LitertFunctions &api, const char *name, litert::Buffer buffer, int mode)
      : api_(api), buffer_(buffer) {
    litert::TensorType type;
    if (api.GetTensorBufferTensorType(buffer, &type) != litert::kOk ||
        api.LockTensorBuffer(buffer, &tensor_.data, mode) != litert::kOk)
      throw failure("%s: LiteRT does not give the memory of a tensor.", name);
    tensor_.type = static_cast<Type>(type.element);
    tensor_.shape.rank = static_cast<int>(type.layout.rank);
    std::copy_n(type.layout.sizes, type.layout.rank, tensor_.shape.sizes);
  }
  Locked(Locked &&other) noexcept : api_(other.api_), buffer_(other.buffer_), tensor_(other.tensor_) {
    other.buffer_ = nullptr;
  }
  ~Locked() {
    if (buffer_ != nullptr) api_.UnlockTensorBuffer(buffer_);
  }
  const Tensor &tensor() const { return tensor_; }

 private:
  const LitertFunctions &api_;
  litert::Buffer buffer_;
  Tensor tensor_;
};

int init(void *, const void *, size_t) { return litert::kOk; }
int destroy(void *) { return litert::kOk; }

int output_layouts(void *user, size_t input_count, const litert::Layout *inputs, size_t output_count,
                   litert::Layout *outputs) {
  const auto &called = *static_cast<Registered *>(user);
  const auto report = [&](const char *sentence) { called.owner->fail(sentence); };
  const bool done = guarded(
      [&] {
        std::vector<Shape> shapes(input_count);
        for (size_t input = 0; input < input_count; ++input) {
          shapes[input].rank = static_cast<int>(inputs[input].rank);
          std::copy_n(inputs[input].sizes, inputs[input].rank, shapes[input].sizes);
        }
        shapes = called.kernel->shapes(shapes);
        if (shapes.size() != output_count)
          throw failure("%s has %zu outputs in this program, it gives %zu: export the program again.",
                        called.code.c_str(), output_count, shapes.size());
        for (size_t output = 0; output < output_count; ++output) {
          outputs[output] = {};
          outputs[output].rank = static_cast<uint32_t>(shapes[output].rank) & 0x7F;
          for (int dimension = 0; dimension < shapes[output].rank; ++dimension)
            outputs[output].sizes[dimension] = static_cast<int32_t>(shapes[output][dimension]);
        }
      },
      report);
  return done ? litert::kOk : litert::kError;
}

int run(void *user, size_t input_count, const litert::Buffer *inputs, size_t output_count, litert::Buffer *outputs) {
  const auto &called = *static_cast<Registered *>(user);
  edgekit_litert_operators &owner = *called.owner;
  const auto report = [&](const char *sentence) { owner.fail(sentence); };
  const bool done = guarded(
      [&] {
        const auto lock = [&](size_t count, const litert::Buffer *buffers, int mode, std::vector<Locked> &locked) {
          std::vector<Tensor> tensors;
          for (size_t index = 0; index < count; ++index) {
            locked.emplace_back(owner.api, called.kernel->name, buffers[index], mode);
            tensors.push_back(locked.back().tensor());
          }
          return tensors;
        };
        std::vector<Locked> locked;
        locked.reserve(input_count + output_count);
        const std::vector<Tensor> taken = lock(input_count, inputs, kLockForReading, locked);
        const std::vector<Tensor> given = lock(output_count, outputs, kLockForWriting, locked);
        Call call(called.kernel->name, taken, given, owner.context, owner.scratch);
        called.kernel->run(call);
      },
      report);
  return done ? litert::kOk : litert::kError;
}

constexpr litert::Kernel kKernel{init, output_layouts, run, destroy};

// What a model calls, each once.
std::vector<std::string> codes_of(const LitertFunctions &api, LiteRtModelT *model) {
  const auto check = [](int status) {
    if (status != litert::kOk) throw failure("edgekit: LiteRT does not say which operators the model has.");
  };
  std::vector<std::string> codes;
  size_t subgraphs = 0;
  check(api.GetNumModelSubgraphs(model, &subgraphs));
  for (size_t index = 0; index < subgraphs; ++index) {
    void *subgraph = nullptr, *op = nullptr;
    size_t count = 0;
    check(api.GetModelSubgraph(model, index, &subgraph));
    check(api.GetNumSubgraphOps(subgraph, &count));
    for (size_t place = 0; place < count; ++place) {
      int code = 0;
      const char *name = nullptr;
      check(api.GetSubgraphOp(subgraph, place, &op));
      check(api.GetOpCode(op, &code));
      if (code != litert::kCustomOperator) continue;
      check(api.GetCustomCode(op, &name));
      if (is_ours(name) && std::find(codes.begin(), codes.end(), name) == codes.end()) codes.emplace_back(name);
    }
  }
  return codes;
}

}  // namespace

extern "C" {

edgekit_litert_operators *edgekit_litert_add_operators(void *library, LiteRtModelT *model, LiteRtOptionsT *options,
                                                       const edgekit_context *threads) {
  std::unique_ptr<edgekit_litert_operators> operators;
  const bool done = guarded(
      [&] {
        operators = std::make_unique<edgekit_litert_operators>(library, threads);
        for (const std::string &code : codes_of(operators->api, model)) {
          operators->registered.push_back(
              std::make_unique<Registered>(Registered{operators.get(), code, make_kernel(code)}));
          if (operators->api.AddCustomOpKernelOption(options, code.c_str(), 1, &kKernel,
                                                        operators->registered.back().get()) != litert::kOk)
            throw failure("edgekit: LiteRT does not take the operator %s.", code.c_str());
        }
      },
      set_last_error);
  return done ? operators.release() : nullptr;
}

const char *edgekit_litert_run_error(edgekit_litert_operators *operators) {
  operators->asked.swap(operators->error);
  operators->error.clear();
  return operators->asked.empty() ? nullptr : operators->asked.c_str();
}

size_t edgekit_litert_scratch(const edgekit_litert_operators *operators) { return operators->scratch.size(); }

void edgekit_litert_free(edgekit_litert_operators *operators) { delete operators; }

}  // extern "C"
