// What is used of LiteRT's C interface, found by name when it is needed: nothing is linked.
#pragma once

#include <dlfcn.h>

#include <type_traits>

#include "failure.h"
#include "litert_types.h"

namespace edgekit::litert_binding {

constexpr int kLockForReading = 0, kLockForWriting = 1;

struct LitertFunctions {
  int (*GetNumModelSubgraphs)(LiteRtModelT *, size_t *);
  int (*GetModelSubgraph)(LiteRtModelT *, size_t, void **subgraph);
  int (*GetNumSubgraphOps)(void *subgraph, size_t *);
  int (*GetSubgraphOp)(void *subgraph, size_t, void **op);
  int (*GetOpCode)(void *op, int *);
  int (*GetCustomCode)(void *op, const char **);
  int (*AddCustomOpKernelOption)(LiteRtOptionsT *, const char *name, int version, const litert::Kernel *, void *user);
  int (*GetTensorBufferTensorType)(litert::Buffer, litert::TensorType *);
  int (*LockTensorBuffer)(litert::Buffer, void **, int mode);
  int (*UnlockTensorBuffer)(litert::Buffer);

  // Throws Failure where one of them is missing.
  explicit LitertFunctions(void *library) {
    const auto find = [&](auto &function, const char *name) {
      void *found = dlsym(library == nullptr ? RTLD_DEFAULT : library, name);
      if (found == nullptr)
        throw failure("edgekit: there is no %s: load libLiteRt.so of 2.2 or newer, and hand its handle on.", name);
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
