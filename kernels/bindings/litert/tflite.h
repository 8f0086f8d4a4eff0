// What is used of TensorFlow Lite's C structures, which LiteRT's interpreter has too. New fields are added at their ends
// only, so that a beginning is enough.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit::litert_binding::tflite {

constexpr int kOk = 0, kError = 1;
constexpr int32_t kCustom = 32;              // the builtin code of custom operators
constexpr int64_t kAllowDynamicTensors = 1;  // a flag of delegates

struct IntArray {
  int size;
  int data[];
};

struct Tensor {
  int32_t type;
  void *data;
  IntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int32_t allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  void *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct {
    int32_t type;
    void *params;
  } quantization;
  void *sparsity;
  const IntArray *dims_signature;
};

struct Node {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
};

struct Context;
struct Delegate;

struct Registration {
  void *(*init)(Context *, const char *buffer, size_t length);
  void (*free)(Context *, void *user_data);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *later[8];  // zeros: what versions have added since
};

struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  int (*ResizeTensor)(Context *, Tensor *, IntArray *taken_over);
  void (*ReportError)(Context *, const char *format, ...);
  int (*AddTensors)(Context *, int, int *);
  int (*GetNodeAndRegistration)(Context *, int index, Node **, Registration **);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *nodes, Delegate *);
  int recommended_num_threads;
};

struct DelegateParams {
  Delegate *delegate;
  IntArray *nodes_to_replace, *input_tensors, *output_tensors;
};

struct Delegate {
  void *data;
  int (*Prepare)(Context *, Delegate *);
  void *copy_from_buffer, *copy_to_buffer, *free_buffer;
  int64_t flags;
  void *later[4];  // zeros
};

}  // namespace edgekit::litert_binding::tflite
