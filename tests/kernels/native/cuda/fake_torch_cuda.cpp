// A stand-in for the CUDA half of torch, for a torch that was built without it: device "cuda:0" is the emulated GPU.
//
// Tensors on it lie in the memory of this process, which is all that the emulated GPU has. torch's own operators compute
// them on the CPU after waiting for what was launched, as a synchronization would; edgekit's operators go through the
// binding, torch's stream and the driver, as on a GPU. Loaded before torch has looked for a GPU.

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <torch/library.h>

#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

namespace {

const c10::Device kGpu(c10::DeviceType::CUDA, 0), kCpu(c10::DeviceType::CPU);

// The emulated GPU, of which torch has one stream.
struct Driver {
  int (*synchronize)(void *);
  void *stream = nullptr;

  Driver() {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    TORCH_CHECK(library != nullptr, "there is no emulated GPU: ", dlerror());
    synchronize = reinterpret_cast<int (*)(void *)>(dlsym(library, "cuStreamSynchronize"));
    const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"));
    const auto create = reinterpret_cast<int (*)(void **, unsigned)>(dlsym(library, "cuStreamCreate"));
    TORCH_CHECK(init(0) == 0 && create(&stream, 1) == 0, "the emulated GPU has no stream");
  }
};

const Driver &driver() {
  static const Driver found;
  return found;
}

void wait() {
  const int result = driver().synchronize(driver().stream);
  TORCH_CHECK(result == 0, "the emulated GPU failed: ", result);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  Guard() = default;
  explicit Guard(c10::DeviceType) {}
  c10::DeviceType type() const override { return kGpu.type(); }
  c10::Device exchangeDevice(c10::Device) const override { return kGpu; }
  c10::Device getDevice() const override { return kGpu; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, kGpu); }
  c10::Stream exchangeStream(c10::Stream) const override { return c10::Stream(c10::Stream::DEFAULT, kGpu); }
  void *getStreamNativeHandle(const c10::Stream) const override { return driver().stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  int getNumGPUs() const override { return 1; }
};

// The same numbers as a tensor on the CPU, and back; each keeps the other's memory.
at::Tensor as(const at::Tensor &tensor, c10::Device device) {
  const auto keep = [tensor](void *) {
    if (tensor.is_cpu()) wait();  // what was launched may still use its memory
  };
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), keep, tensor.options().device(device),
                       device);
}

// Any operator of torch: its tensors on the GPU as if they lay on the CPU, its new ones on the GPU.
void on_cpu(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  wait();
  std::vector<std::pair<at::Tensor, at::Tensor>> known;  // on the CPU, and what it was
  const auto moved = [&](const at::Tensor &tensor) {
    if (!tensor.defined() || !tensor.is_cuda()) return tensor;
    for (const auto &pair : known)
      if (pair.second.is_same(tensor)) return pair.first;
    // One without elements may be an output that is yet to be given its size.
    const bool empty = tensor.numel() == 0;
    known.emplace_back(empty ? at::empty(tensor.sizes(), tensor.options().device(kCpu)) : as(tensor, kCpu), tensor);
    return known.back().first;
  };
  const auto resize = [](const at::Tensor &tensor, const at::Tensor &on_cpu) {
    c10::TensorImpl *impl = tensor.unsafeGetTensorImpl();
    if (on_cpu.numel() > 0 && tensor.numel() == 0) impl->set_storage_keep_dtype(as(on_cpu, kGpu).storage());
    impl->set_sizes_and_strides(on_cpu.sizes(), on_cpu.strides());
  };
  const auto back = [&](const at::Tensor &tensor) {
    if (!tensor.defined() || !tensor.is_cpu()) return tensor;
    for (const auto &pair : known)
      if (pair.first.is_same(tensor)) return pair.second;
    return as(tensor, kGpu);
  };
  const auto change = [](c10::IValue &value, const auto &how) {
    if (value.isTensor()) {
      value = how(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor tensor : value.toTensorList()) list.push_back(how(tensor));
      value = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor> tensor : value.toOptionalTensorList())
        list.push_back(tensor.has_value() ? std::optional(how(*tensor)) : std::nullopt);
      value = list;
    }
  };
  const size_t given = op.schema().arguments().size(), made = op.schema().returns().size();
  for (auto value = stack->end() - static_cast<int64_t>(given); value != stack->end(); ++value) {
    change(*value, moved);
    if (value->isDevice() && value->toDevice().is_cuda()) *value = kCpu;
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (const auto &[on_cpu, tensor] : known)
    if (tensor.sizes() != on_cpu.sizes() || tensor.strides() != on_cpu.strides()) resize(tensor, on_cpu);
  for (auto value = stack->end() - static_cast<int64_t>(made); value != stack->end(); ++value) change(*value, back);
}

// A tensor of all of a storage, which is how torch.save reads one.
at::Tensor &set_storage(at::Tensor &tensor, at::Storage storage) {
  c10::TensorImpl *impl = tensor.unsafeGetTensorImpl();
  const auto count = static_cast<int64_t>(storage.nbytes() / impl->itemsize());
  impl->set_storage_keep_dtype(std::move(storage));
  impl->set_storage_offset(0);
  impl->set_sizes_contiguous(count);
  return tensor;
}

}  // namespace

namespace at {
using ::CUDAHooks;
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace at

namespace c10::impl {
using ::Guard;
C10_REGISTER_GUARD_IMPL(CUDA, Guard);
}  // namespace c10::impl

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu>()); }

// These have one kernel for all devices, which asks for a part of it that torch was built without.
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  for (const char *name : {"copy_", "convolution_backward", "mse_loss", "native_layer_norm"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&on_cpu>());
  m.impl("set_.source_Storage", &set_storage);
}
