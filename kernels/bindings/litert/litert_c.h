// What is used of LiteRT's C interface (libLiteRt.so, 2.x), found by name when it is needed: nothing is linked.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

#include "failure.h"

struct LiteRtModelT;
struct LiteRtOptionsT;

namespace edgekit::litert_binding {

constexpr int kLitertOk = 0, kLitertError = 1;
constexpr int kLitertCustomOperator = 32;
constexpr int kLockForReading = 0, kLockForWriting = 1;

struct LitertLayout {
  uint32_t rank : 7, has_strides : 1;
  int32_t sizes[8];
  uint32_t strides[8];
};
static_assert(sizeof(LitertLayout) == 68, "as LiteRT has it");

struct LitertTensorType {
  int32_t element;
  LitertLayout layout;
};

using LitertBuffer = struct LitertBufferT *;

struct LitertKernel {
  int (*Init)(void *user, const void *options, size_t size);
  int (*GetOutputLayouts)(void *user, size_t inputs, const LitertLayout *, size_t outputs, LitertLayout *);
  int (*Run)(void *user, size_t inputs, const LitertBuffer *, size_t outputs, LitertBuffer *);
  int (*Destroy)(void *user);
};

struct LitertFunctions {
  int (*GetNumModelSubgraphs)(LiteRtModelT *, size_t *);
  int (*GetModelSubgraph)(LiteRtModelT *, size_t, void **subgraph);
  int (*GetNumSubgraphOps)(void *subgraph, size_t *);
  int (*GetSubgraphOp)(void *subgraph, size_t, void **op);
  int (*GetOpCode)(void *op, int *);
  int (*GetCustomCode)(void *op, const char **);
  int (*AddCustomOpKernelOption)(LiteRtOptionsT *, const char *name, int version, const LitertKernel *, void *user);
  int (*GetTensorBufferTensorType)(LitertBuffer, LitertTensorType *);
  int (*LockTensorBuffer)(LitertBuffer, void **, int mode);
  int (*UnlockTensorBuffer)(LitertBuffer);

  // Throws Failure where one of them is missing.
  explicit LitertFunctions(void *library) {
    const auto find = [&](auto &function, const char *name) {
      void *found = dlsym(library == nullptr ? RTLD_DEFAULT : library, name);
      if (found == nullptr)
        throw failure("edgekit: there is no %s: load libLiteRt.so 2.x and hand its handle on.", name);
      function = reinterpret_cast<std::decay_t<decltype(function)>>(found);
    };
    find(GetNumModelSubgraphs, "LiteRtGetNumModelSubgraphs");
    find(GetModelSubgraph, "LiteRtGetModelSubgraph");
    find(GetNumSubgraphOps, "LiteRtGetNumSubgraphOps");
    find(GetSubgraphOp, "LiteRtGetSubgraphOp");
    find(GetOpCode, "LiteRtGetOpCode");
    find(GetCustomCode, "LiteRtGetCustomCode");
    find(AddCustomOpKernelOption, "LiteRtAddCustomOpKernelOption");
    find(GetTensorBufferTensorType, "LiteRtGetTensorBufferTensorType");
    find(LockTensorBuffer, "LiteRtLockTensorBuffer");
    find(UnlockTensorBuffer, "LiteRtUnlockTensorBuffer");
  }
};

}  // namespace edgekit::litert_binding
