"""The scratch memory that edgekit's operators ask for in a call: their library is asked, so that there is one truth."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping

from edgekit.errors import EdgekitError
from edgekit.export.program_file import Call, MethodFile
from edgekit.kernels.native import operators

#: Weights of `sea_estimate` that its sizes are read from, by their place in its list (kernels/bindings/sea_weights.h).
_PROJECTION, _POSITIONS, _ROW_NORM, _MAP = 0, 1, 10, 18


def operator_scratch(method: MethodFile, call: Call, threads: int) -> int:
    """Bytes of scratch of one call, at its largest shapes; 0 for operators that ask for none.

    Args:
        method: that the call is in.
        call: of it.
        threads: that share the work.

    Raises:
        EdgekitError: the file gives the operator other arguments than it has.
    """
    find = _OPERATORS.get(call.operator)
    if find is None:
        return 0
    try:
        return find(method, call.arguments, threads)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise EdgekitError(
            f"the program file calls {call.operator} in another way than this edgekit: export it again."
        ) from error


def _ask(name: str, threads: int, *arguments: object) -> int:
    function = operators()[name]
    function.restype = ctypes.c_size_t
    given = [ctypes.c_int64(value) if isinstance(value, int) else value for value in arguments]
    return int(function(ctypes.c_int(threads), *given))


def _conv2d(method: MethodFile, arguments: tuple[int, ...], threads: int) -> int:
    x, weight, _, padding = arguments[:4]
    n, c, h, w = method.shape(x)
    o, _, kh, kw = method.shape(weight)
    pad_h, pad_w = (method.values[item].val.int_val for item in method.values[padding].val.items)
    return _ask("edgekit_conv2d_scratch", threads, n, c, h, w, o, kh, kw, pad_h, pad_w)


def _sparse_topk(method: MethodFile, arguments: tuple[int, ...], threads: int) -> int:
    return _ask("edgekit_sparse_topk_scratch", threads, method.shape(arguments[0])[-1], _integer(method, arguments[1]))


def _attention(method: MethodFile, arguments: tuple[int, ...], threads: int) -> int:
    heads, _, size = method.shape(arguments[0])
    cells = method.shape(arguments[3])[-1]
    return _ask("edgekit_sparse_topk_attention_scratch", threads, heads, cells, size)


def _estimate(method: MethodFile, arguments: tuple[int, ...], threads: int) -> int:
    heads, rows, size = method.shape(arguments[0])
    shapes = [method.shape(item) for item in method.values[arguments[4]].val.items]
    cells, taps = shapes[_MAP]
    (features, _), (capacity, _), (width,) = shapes[_PROJECTION], shapes[_POSITIONS], shapes[_ROW_NORM]
    # The seven sizes of edgekit_sea_weights; room for its pointers, which are not followed.
    sizes = (ctypes.c_int64 * 64)(heads, size, features, width, cells, taps, capacity)
    return _ask("edgekit_sea_estimate_scratch", threads, ctypes.byref(sizes), rows)


def _integer(method: MethodFile, value: int) -> int:
    return int(method.values[value].val.int_val)


_OPERATORS: Mapping[str, Callable[[MethodFile, tuple[int, ...], int], int]] = {
    "edgekit::conv2d.out": _conv2d,
    "edgekit::sparse_topk.out": _sparse_topk,
    "edgekit::sparse_topk_attention.out": _attention,
    "edgekit::sea_estimate.out": _estimate,
}
