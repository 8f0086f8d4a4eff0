// The part of ONNX Runtime's C API that is called here, declared anew: the library is loaded at run time.
//
// Its functions stand in one table, which a release only appends to; a place in it is the function's number from 0. The
// version of the API that is asked for is the first that has all of them: 11, of ONNX Runtime 1.11 (March 2022).
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit::ort {

constexpr uint32_t kApiVersion = 11;

// What the library gives out; each is given back by its own Release function.
struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct Value;
struct MemoryInfo;
struct TypeInfo;
struct TensorInfo;
struct Allocator;
struct TensorRtOptions;
struct CudaOptions;

// TensorProto.DataType of ONNX as a number.
enum class Element : int {
  float32 = 1,
  uint8 = 2,
  int8 = 3,
  int16 = 5,
  int32 = 6,
  int64 = 7,
  boolean = 9,
  float16 = 10,
  float64 = 11,
};
enum class Severity : int { verbose, info, warning, error, fatal };

using Logger = void (*)(void *user, Severity severity, const char *category, const char *id, const char *place,
                        const char *message);

// What OrtGetApiBase() points to.
struct Base {
  const void *const *(*api)(uint32_t version);
  const char *(*version)();
};

// A function of the table by its place. All but those that release give a Status, nullptr where all went well.
template <int kPlace, typename Type>
struct Entry;
template <int kPlace, typename Result, typename... Arguments>
struct Entry<kPlace, Result(Arguments...)> {
  const void *const *table;

  Result operator()(Arguments... arguments) const {
    using Function = Result (*)(Arguments...);
    return reinterpret_cast<Function>(const_cast<void *>(table[kPlace]))(arguments...);
  }
};

struct Api {
  const void *const *table;

  Entry<2, const char *(const Status *)> message{table};
  Entry<4, Status *(Logger, void *user, Severity least, const char *id, Env **)> create_env{table};
  Entry<7, Status *(const Env *, const char *path, const SessionOptions *, Session **)> create_session{table};
  Entry<9, Status *(Session *, const void *options, const char *const *input_names, const Value *const *inputs,
                    size_t input_count, const char *const *output_names, size_t output_count, Value **outputs)>
      run{table};
  Entry<10, Status *(SessionOptions **)> create_options{table};
  // Profiling from a session's first moment to end_profiling, which gives the file's name.
  Entry<14, Status *(SessionOptions *, const char *prefix)> enable_profiling{table};
  Entry<24, Status *(SessionOptions *, int count)> set_threads{table};
  Entry<30, Status *(const Session *, size_t *)> input_count{table};
  Entry<31, Status *(const Session *, size_t *)> output_count{table};
  Entry<33, Status *(const Session *, size_t index, TypeInfo **)> input_type{table};
  Entry<34, Status *(const Session *, size_t index, TypeInfo **)> output_type{table};
  Entry<36, Status *(const Session *, size_t index, Allocator *, char **)> input_name{table};
  Entry<37, Status *(const Session *, size_t index, Allocator *, char **)> output_name{table};
  Entry<49, Status *(const MemoryInfo *, void *data, size_t bytes, const int64_t *shape, size_t rank, Element,
                     Value **)>
      create_tensor{table};
  Entry<51, Status *(Value *, void **)> data{table};
  // What it gives belongs to the type.
  Entry<55, Status *(const TypeInfo *, const TensorInfo **)> tensor_of{table};
  Entry<60, Status *(const TensorInfo *, Element *)> element{table};
  Entry<61, Status *(const TensorInfo *, size_t *)> rank{table};
  Entry<62, Status *(const TensorInfo *, int64_t *, size_t rank)> shape{table};
  Entry<65, Status *(const Value *, TensorInfo **)> tensor_of_value{table};
  Entry<69, Status *(int allocator, int memory, MemoryInfo **)> cpu_memory{table};
  Entry<76, Status *(Allocator *, void *)> free{table};
  Entry<78, Status *(Allocator **)> default_allocator{table};
  Entry<93, void(Status *)> release_status{table};
  Entry<95, void(Session *)> release_session{table};
  Entry<96, void(Value *)> release_value{table};
  Entry<98, void(TypeInfo *)> release_type{table};
  Entry<99, void(TensorInfo *)> release_tensor_info{table};
  Entry<100, void(SessionOptions *)> release_options{table};
  Entry<110, Status *(Session *, Allocator *, char **)> end_profiling{table};
  Entry<125, Status *(char ***, int *)> providers{table};
  Entry<126, Status *(char **, int)> release_providers{table};
  Entry<130, Status *(SessionOptions *, const char *key, const char *value)> configure{table};
  Entry<170, Status *(SessionOptions *, const TensorRtOptions *)> append_tensorrt{table};
  Entry<171, Status *(TensorRtOptions **)> create_tensorrt{table};
  Entry<172, Status *(TensorRtOptions *, const char *const *keys, const char *const *values, size_t)> update_tensorrt{
      table};
  Entry<174, void(TensorRtOptions *)> release_tensorrt{table};
  Entry<204, Status *(SessionOptions *, const CudaOptions *)> append_cuda{table};
  Entry<205, Status *(CudaOptions **)> create_cuda{table};
  Entry<206, Status *(CudaOptions *, const char *const *keys, const char *const *values, size_t)> update_cuda{table};
  Entry<208, void(CudaOptions *)> release_cuda{table};
};

}  // namespace edgekit::ort
