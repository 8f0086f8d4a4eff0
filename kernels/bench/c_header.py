"""sparse_topk called as a C program calls it (`include/edgekit/ops.h`): memory made beforehand, one thread."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.kernels.native import operators

_FLOAT32 = 0


class _Context(ctypes.Structure):
    _fields_ = (
        ("scratch", ctypes.c_void_p),
        ("scratch_size", ctypes.c_size_t),
        ("threads", ctypes.c_int),
        ("parallel", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
    )


def sparse_topk(rows: int, n: int, k: int, sort: bool) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function of x (rows, n) float32 that gives values (rows, k) float32 and indices (rows, k) int64.

    Every call writes into the same two tensors.
    """
    library = operators()
    library.edgekit_sparse_topk_scratch.restype = ctypes.c_size_t
    sizes = [ctypes.c_int64(size) for size in (rows, n, k)]
    # torch aligns its memory to 64 bytes.
    scratch = torch.empty(library.edgekit_sparse_topk_scratch(1, *sizes[1:]), dtype=torch.uint8)
    values, indices = torch.empty(rows, k), torch.empty(rows, k, dtype=torch.int64)
    context = _Context(scratch.data_ptr(), scratch.nbytes, 1, None, None)
    before = (ctypes.byref(context), ctypes.c_int(_FLOAT32))
    after = (*sizes, ctypes.c_bool(sort), ctypes.c_void_p(values.data_ptr()), ctypes.c_void_p(indices.data_ptr()))
    call, pointer = library.edgekit_sparse_topk, ctypes.c_void_p

    def run(x: Tensor, scratch: Tensor = scratch) -> tuple[Tensor, Tensor]:
        if call(*before, pointer(x.data_ptr()), *after):
            raise EdgekitError(library.edgekit_last_error().decode())
        return values, indices

    return run
