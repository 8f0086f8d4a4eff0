"""The operators that change a state, as pure functions: state goes in and comes out, and start_pos is a tensor.

For capture into formats whose programs have no memory of their own (LiteRT, ONNX), where whoever runs them hands the
state on from call to call. To torch they are the overload `.tensors` of the operators in `edgekit.kernels.ops`, which
works on copies; runtimes' kernels change a state in place where its input and its output are the same memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edgekit.kernels.ops import NAMESPACE
from edgekit.kernels.sea import SeaState, SeaWeights

OVERLOAD = "tensors"

KV_APPEND = (
    "(Tensor k, Tensor v, Tensor start_pos, Tensor k_cache, Tensor v_cache, "
    "Tensor? k_scale=None, Tensor? v_scale=None) -> Tensor[]"
)
SPARSE_TOPK_ATTENTION = (
    "(Tensor q, Tensor k_cache, Tensor v_cache, Tensor scores, Tensor gates, Tensor v_mean, Tensor start_pos, "
    "int k_budget, Tensor? k_scale=None, Tensor? v_scale=None) -> Tensor"
)
SEA_ESTIMATE = (
    "(Tensor q, Tensor k, Tensor v, Tensor start_pos, Tensor[] weights, Tensor key_values, Tensor keys, Tensor values, "
    "Tensor conv1_rows, Tensor conv2_rows) -> (Tensor scores, Tensor gates, Tensor v_mean, Tensor new_key_values, "
    "Tensor new_keys, Tensor new_values, Tensor new_conv1_rows, Tensor new_conv2_rows)"
)


def kv_append(
    k: Tensor,
    v: Tensor,
    start_pos: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """A KV cache with T rows written into it: `edgekit.kernels.ops.kv_append`, which changes nothing.

    Args:
        k, v: (H, T, d) float32 or float16, contiguous.
        start_pos: () int64 or int32: where the first row goes.
        k_cache, v_cache: (H, T_max, d) float32, float16 or int8, contiguous.
        k_scale, v_scale: (H, T_max) float32, with int8 caches only.

    Returns:
        The new k_cache and v_cache, and with int8 caches the new k_scale and v_scale.

    Raises:
        RuntimeError: as `edgekit.kernels.ops.kv_append`.
    """
    return tuple(torch.ops.edgekit.kv_append.tensors(k, v, start_pos, k_cache, v_cache, k_scale, v_scale))


def sparse_topk_attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    scores: Tensor,
    gates: Tensor,
    v_mean: Tensor,
    start_pos: Tensor,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """SEA's attention: `edgekit.kernels.ops.sparse_topk_attention` with start_pos () int64 or int32.

    Returns:
        (H, T, d) float32.

    Raises:
        RuntimeError: as `edgekit.kernels.ops.sparse_topk_attention`.
    """
    return torch.ops.edgekit.sparse_topk_attention.tensors(
        q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale
    )


def sea_estimate(
    q: Tensor, k: Tensor, v: Tensor, start_pos: Tensor, weights: SeaWeights, state: SeaState
) -> tuple[Tensor, Tensor, Tensor, SeaState]:
    """SEA's estimate of attention: `edgekit.kernels.ops.sea_estimate`, which changes nothing.

    Args:
        q, k, v: (H, T, d) float32, contiguous; q scaled already.
        start_pos: () int64 or int32: the first row's token; 0 begins a new sequence, whatever the state holds.
        weights, state: see `SeaWeights` and `SeaState`.

    Returns:
        scores (H, T, K), gates (H, T, 2) and v_mean (H, T, d), float32, and the state of the last row.

    Raises:
        RuntimeError: as `edgekit.kernels.ops.sea_estimate`.
    """
    scores, gates, v_mean, *new = torch.ops.edgekit.sea_estimate.tensors(q, k, v, start_pos, list(weights), *state)
    return scores, gates, v_mean, SeaState(*new)


def _place(operator: str, start_pos: Tensor) -> int:
    if start_pos.dim() != 0 or start_pos.dtype not in (torch.int32, torch.int64):
        raise RuntimeError(
            f"{operator}: start_pos is {start_pos.dtype} with shape {tuple(start_pos.shape)}: give () int64 or int32."
        )
    return int(start_pos)


def _kv_append(
    k: Tensor,
    v: Tensor,
    start_pos: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> list[Tensor]:
    caches = [None if tensor is None else tensor.clone() for tensor in (k_cache, v_cache, k_scale, v_scale)]
    torch.ops.edgekit.kv_append(k, v, _place("kv_append", start_pos), *caches)
    return [tensor for tensor in caches if tensor is not None]


def _kv_append_shapes(
    k: Tensor,
    v: Tensor,
    start_pos: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (k_cache, v_cache, k_scale, v_scale) if tensor is not None]


def _attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    scores: Tensor,
    gates: Tensor,
    v_mean: Tensor,
    start_pos: Tensor,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    start = _place("sparse_topk_attention", start_pos)
    return torch.ops.edgekit.sparse_topk_attention(
        q, k_cache, v_cache, scores, gates, v_mean, start, k_budget, k_scale, v_scale
    )


def _attention_shapes(q: Tensor, *others: object) -> Tensor:
    return q.new_empty(q.shape)


def _sea_estimate(
    q: Tensor, k: Tensor, v: Tensor, start_pos: Tensor, weights: Sequence[Tensor], *state: Tensor
) -> tuple[Tensor, ...]:
    new = [tensor.clone() for tensor in state]
    estimate = torch.ops.edgekit.sea_estimate(q, k, v, _place("sea_estimate", start_pos), list(weights), *new)
    return (*estimate, *new)


def _sea_estimate_shapes(
    q: Tensor, k: Tensor, v: Tensor, start_pos: Tensor, weights: Sequence[Tensor], *state: Tensor
) -> tuple[Tensor, ...]:
    cells = SeaWeights(*weights).map_start.shape[0]
    estimate = q.new_empty((*q.shape[:2], cells)), q.new_empty((*q.shape[:2], 2)), q.new_empty(q.shape)
    return (*estimate, *(torch.empty_like(tensor) for tensor in state))


@functools.cache
def define() -> None:
    """Defines the overloads in torch, once; after `edgekit.kernels.ops.define`."""
    _define("kv_append", KV_APPEND, _kv_append, _kv_append_shapes)
    _define("sparse_topk_attention", SPARSE_TOPK_ATTENTION, _attention, _attention_shapes)
    _define("sea_estimate", SEA_ESTIMATE, _sea_estimate, _sea_estimate_shapes)


def _define(name: str, schema: str, eager: Callable[..., object], shapes: Callable[..., object]) -> None:
    full = f"{NAMESPACE}::{name}.{OVERLOAD}"
    torch.library.define(full, schema)
    torch.library.impl(full, "CompositeExplicitAutograd")(eager)
    torch.library.register_fake(full)(shapes)
