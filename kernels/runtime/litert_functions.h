// The functions of libLiteRt.so that the engine calls. Each gives 0 when all is well.
#pragma once

#include "../bindings/litert/litert_types.h"
#include "core/dynamic_library.h"

namespace edgekit::litert {

// A choice for a new environment: a tag and a whole number.
struct EnvironmentOption {
  int32_t tag;
  int64_t type;  // of the value; its upper half is padding
  int64_t value;
};
static_assert(sizeof(EnvironmentOption) == 24, "as LiteRT has it");
constexpr int32_t kAutoRegisterAccelerators = 24, kLeastLogSeverity = 25;
constexpr int64_t kWholeNumber = 2;
constexpr int kCpu = 1;     // an accelerator
constexpr int kSilent = 4;  // no log at all

// What a profiler has seen. `tag` is its own, until it is reset.
struct Profiled {
  const char *tag;
  int32_t type;
  uint64_t start, elapsed;  // microseconds
  int64_t memory[6];
  uint64_t place;  // of a node in its graph, of a delegate's step in its call
  uint64_t more;
  int32_t source;
};
static_assert(sizeof(Profiled) == 104, "as LiteRT has it");
constexpr int32_t kRuntimeEvent = 1, kNodeEvent = 2, kStepEvent = 8;

// A function that came with 2.3. LiteRT 2.2 refuses a program's second signature, and ends the process at states without
// dimensions.
constexpr char kSince[] = "LiteRtCompiledModelIsNonCpuFullyAccelerated";

struct Functions {
  explicit Functions(const DynamicLibrary &library) {
    const auto find = [&](auto &function, const char *name) {
      function = library.function<std::decay_t<decltype(function)>>(name);
    };
    library.function<void *>(kSince);
    find(create_environment, "LiteRtCreateEnvironment");
    find(destroy_environment, "LiteRtDestroyEnvironment");
    find(create_model, "LiteRtCreateModelFromFile");
    find(destroy_model, "LiteRtDestroyModel");
    find(create_options, "LiteRtCreateOptions");
    find(destroy_options, "LiteRtDestroyOptions");
    find(set_accelerators, "LiteRtSetOptionsHardwareAccelerators");
    find(create_opaque_options, "LiteRtCreateOpaqueOptions");
    find(add_opaque_options, "LiteRtAddOpaqueOptions");
    find(create_compiled, "LiteRtCreateCompiledModel");
    find(destroy_compiled, "LiteRtDestroyCompiledModel");
    find(run, "LiteRtRunCompiledModel");
    find(resize_input, "LiteRtCompiledModelResizeInputTensor");
    find(output_layouts, "LiteRtGetCompiledModelOutputTensorLayouts");
    find(error_messages, "LiteRtCompiledModelGetErrorMessages");
    find(clear_errors, "LiteRtCompiledModelClearErrors");
    find(count_signatures, "LiteRtGetNumModelSignatures");
    find(signature, "LiteRtGetModelSignature");
    find(signature_key, "LiteRtGetSignatureKey");
    find(signature_subgraph, "LiteRtGetSignatureSubgraph");
    find(count_inputs, "LiteRtGetNumSignatureInputs");
    find(input_name, "LiteRtGetSignatureInputName");
    find(input_tensor, "LiteRtGetSignatureInputTensorByIndex");
    find(count_outputs, "LiteRtGetNumSignatureOutputs");
    find(output_name, "LiteRtGetSignatureOutputName");
    find(output_tensor, "LiteRtGetSignatureOutputTensorByIndex");
    find(subgraph_input, "LiteRtGetSubgraphInput");
    find(subgraph_output, "LiteRtGetSubgraphOutput");
    find(tensor_type, "LiteRtGetRankedTensorType");
    find(count_ops, "LiteRtGetNumSubgraphOps");
    find(op, "LiteRtGetSubgraphOp");
    find(op_code, "LiteRtGetOpCode");
    find(custom_code, "LiteRtGetCustomCode");
    find(profiler, "LiteRtCompiledModelGetProfiler");
    find(start_profiler, "LiteRtStartProfiler");
    find(reset_profiler, "LiteRtResetProfiler");
    find(count_profiled, "LiteRtGetNumProfilerEvents");
    find(profiled, "LiteRtGetProfilerEvents");
    find(create_buffer, "LiteRtCreateTensorBufferFromHostMemory");
    find(destroy_buffer, "LiteRtDestroyTensorBuffer");
  }

  int (*create_environment)(int options, const EnvironmentOption *, void **environment);
  void (*destroy_environment)(void *environment);
  int (*create_model)(void *environment, const char *file, LiteRtModelT **);
  void (*destroy_model)(LiteRtModelT *);
  int (*create_options)(LiteRtOptionsT **);
  void (*destroy_options)(LiteRtOptionsT *);
  int (*set_accelerators)(LiteRtOptionsT *, int accelerators);
  int (*create_opaque_options)(const char *name, void *text, void (*release)(void *), void **opaque);
  int (*add_opaque_options)(LiteRtOptionsT *, void *opaque);
  int (*create_compiled)(void *environment, LiteRtModelT *, LiteRtOptionsT *, void **compiled);
  void (*destroy_compiled)(void *compiled);
  int (*run)(void *compiled, size_t signature, size_t inputs, Buffer *, size_t outputs, Buffer *);
  int (*resize_input)(void *compiled, size_t signature, size_t input, const int *sizes, size_t rank);
  int (*output_layouts)(void *compiled, size_t signature, size_t count, Layout *, bool allocate);
  int (*error_messages)(void *compiled, char **text);
  int (*clear_errors)(void *compiled);
  int (*count_signatures)(LiteRtModelT *, size_t *);
  int (*signature)(LiteRtModelT *, size_t, void **signature);
  int (*signature_key)(void *signature, const char **);
  int (*signature_subgraph)(void *signature, void **subgraph);
  int (*count_inputs)(void *signature, size_t *);
  int (*input_name)(void *signature, size_t, const char **);
  int (*input_tensor)(void *signature, size_t, void **tensor);
  int (*count_outputs)(void *signature, size_t *);
  int (*output_name)(void *signature, size_t, const char **);
  int (*output_tensor)(void *signature, size_t, void **tensor);
  int (*subgraph_input)(void *subgraph, size_t, void **tensor);
  int (*subgraph_output)(void *subgraph, size_t, void **tensor);
  int (*tensor_type)(void *tensor, TensorType *);
  int (*count_ops)(void *subgraph, size_t *);
  int (*op)(void *subgraph, size_t, void **op);
  int (*op_code)(void *op, int *);
  int (*custom_code)(void *op, const char **);
  int (*profiler)(void *compiled, void **profiler);  // the model's own
  int (*start_profiler)(void *profiler);
  int (*reset_profiler)(void *profiler);
  int (*count_profiled)(void *profiler, int *);
  int (*profiled)(void *profiler, int count, Profiled *);
  int (*create_buffer)(const TensorType *, void *memory, size_t bytes, void (*release)(void *), Buffer *);
  void (*destroy_buffer)(Buffer);
};

}  // namespace edgekit::litert
