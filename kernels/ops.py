"""The operators: their schemas, and what each means to torch where no kernel runs (shapes, eager references).

Every operator has a functional form and one that writes into tensors it is given (`.out`), which is what an ExecuTorch
program calls. On a CPU and on CUDA's GPUs the native kernels run; elsewhere, and where those do not take a call, the
references of `edgekit.kernels.reference`. A GPU's are put on torch's current stream and are not waited for, so that
what lies in its memory is not checked: columns of a matrix, places of a map.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edgekit.kernels import attention_gradient, reference
from edgekit.kernels.sea import SeaState, SeaWeights

NAMESPACE, REFERENCE = "edgekit", "edgekit_reference"

SPARSE_TOPK = "(Tensor x, int k, bool sorted=True) -> (Tensor values, Tensor indices)"
SPARSE_TOPK_OUT = (
    "(Tensor x, int k, bool sorted=True, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))"
)

# An ExecuTorch operator must return a tensor that is no argument of its functional form: here the new length.
_KV_APPEND = (
    "(Tensor k, Tensor v, SymInt start_pos, Tensor(a!) k_cache, Tensor(b!) v_cache, "
    "Tensor(c!)? k_scale=None, Tensor(d!)? v_scale=None"
)
KV_APPEND = _KV_APPEND + ") -> Tensor"
KV_APPEND_OUT = _KV_APPEND + ", *, Tensor(e!) out) -> Tensor(e!)"
_SPARSE_TOPK_ATTENTION = (
    "(Tensor q, Tensor k_cache, Tensor v_cache, Tensor scores, Tensor gates, Tensor v_mean, SymInt start_pos, "
    "int k_budget, Tensor? k_scale=None, Tensor? v_scale=None"
)
SPARSE_TOPK_ATTENTION = _SPARSE_TOPK_ATTENTION + ") -> Tensor"
SPARSE_TOPK_ATTENTION_OUT = _SPARSE_TOPK_ATTENTION + ", *, Tensor(a!) out) -> Tensor(a!)"
_SEA_ESTIMATE = (
    "(Tensor q, Tensor k, Tensor v, SymInt start_pos, Tensor[] weights, Tensor(a!) key_values, Tensor(b!) keys, "
    "Tensor(c!) values, Tensor(d!) conv1_rows, Tensor(e!) conv2_rows"
)
SEA_ESTIMATE = _SEA_ESTIMATE + ") -> (Tensor scores, Tensor gates, Tensor v_mean)"
SEA_ESTIMATE_OUT = _SEA_ESTIMATE + (
    ", *, Tensor(f!) scores, Tensor(g!) gates, Tensor(h!) v_mean) -> (Tensor(f!), Tensor(g!), Tensor(h!))"
)
_SEA_STEP = _SEA_ESTIMATE + (
    ", Tensor(f!) k_cache, Tensor(g!) v_cache, int k_budget, Tensor(h!)? k_scale=None, Tensor(i!)? v_scale=None"
)
SEA_STEP = _SEA_STEP + ") -> Tensor"
SEA_STEP_OUT = _SEA_STEP + ", *, Tensor(j!) out) -> Tensor(j!)"
CSR_MATMUL = "(Tensor crow, Tensor col, Tensor val, Tensor x) -> Tensor"
CSR_MATMUL_OUT = "(Tensor crow, Tensor col, Tensor val, Tensor x, *, Tensor(a!) out) -> Tensor(a!)"

CONV2D = "(Tensor x, Tensor weight, Tensor? bias, int[] padding, float activation) -> Tensor"
CONV2D_OUT = "(Tensor x, Tensor weight, Tensor? bias, int[] padding, float activation, *, Tensor(a!) out) -> Tensor(a!)"


def sparse_topk(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest of the last dimension.

    Args:
        x: (..., n) float32 or float16, contiguous.
        k: 1 to n; a constant of the graph.
        sorted: descending by value; otherwise by ascending index.

    Returns:
        values (..., k) of x's dtype, and indices (..., k) int64. Equal values (-0 equals 0) rank by index, the lower
        first; NaN ranks below everything.

    Raises:
        RuntimeError: another dtype or layout, or k out of range; the sentence names operator, argument and value.
    """
    return torch.ops.edgekit.sparse_topk(x, k, sorted)


def kv_append(
    k: Tensor,
    v: Tensor,
    start_pos: int,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """Writes T rows into a KV cache, in place; nothing else of it is touched.

    Args:
        k, v: (H, T, d) float32 or float16, contiguous.
        start_pos: where the first row goes; known at run time.
        k_cache, v_cache: (H, T_max, d) float32, float16 or int8, contiguous; changed.
        k_scale, v_scale: (H, T_max) float32, with int8 caches only; changed. A row of a head has the scale
            max|row| / 127 and quants row / scale, rounded half to even. A row of zeros has scale 0; one with infinity
            or NaN has scale NaN and quants 0.

    Returns:
        The cache's new length, start_pos + T: int64, no dimensions.

    Raises:
        RuntimeError: dtypes or shapes that do not fit, or rows beyond the cache; the sentence names operator, argument
            and value.
    """
    return torch.ops.edgekit.kv_append(k, v, start_pos, k_cache, v_cache, k_scale, v_scale)


def sparse_topk_attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    scores: Tensor,
    gates: Tensor,
    v_mean: Tensor,
    start_pos: int,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """SEA's attention: softmax over the tokens that an estimator's scores choose (arXiv:2310.01777).

    Row t stands at token start_pos + t and sees L = start_pos + t + 1 tokens. Of its H * K cells it chooses
    n = max(1, round_half_even(H * k_budget * K / L)), at most all, by log_softmax(scores) of each head; equal ones rank
    by head and cell, the lower first, NaN last. Cell m stands for the tokens from round(m * L / K) to
    round((m + 1) * L / K) - 1, halves up. Then out = g1 * g0 * attention + (1 - g1) * v_mean, where a head without
    tokens has attention 0. A row with n = H * K is dense attention.

    Args:
        q: (H, T, d) float32, scaled already.
        k_cache, v_cache: (H, T_max, d) float32, float16 or int8; the rows' own tokens must be in them.
        scores: (H, T, K) float32, before softmax.
        gates: (H, T, 2) float32: g0, g1, after the sigmoid.
        v_mean: (H, T, d) float32: the mean of v up to each row's own token.
        start_pos: known at run time.
        k_budget: tokens a head and row, on average; a constant of the graph.
        k_scale, v_scale: (H, T_max) float32, with int8 caches only.

    Returns:
        (H, T, d) float32.

    Raises:
        RuntimeError: dtypes, layouts or shapes that do not fit, or rows beyond the cache; the sentence names operator,
            argument and value.
    """
    return torch.ops.edgekit.sparse_topk_attention(
        q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale
    )


def sea_estimate(
    q: Tensor, k: Tensor, v: Tensor, start_pos: int, weights: SeaWeights, state: SeaState
) -> tuple[Tensor, Tensor, Tensor]:
    """SEA's estimate of attention: what `sparse_topk_attention` chooses tokens by (arXiv:2310.01777).

    Linear attention, an MLP for each head, two causal convolutions over all heads' channels, and a map to K cells. Of
    the tokens before start_pos only the state is needed, so a row costs the same at any place. A row's numbers have the
    same bits in whatever calls the rows come: all at once, in blocks or one by one; on a GPU they are equal to
    rounding. `reference.sea_estimate` has the formulas; layer norms have epsilon 1e-5.

    Args:
        q, k, v: (H, T, d) float32, contiguous; q scaled already.
        start_pos: the first row's token, known at run time; 0 begins a new sequence, whatever the state holds.
        weights: see `SeaWeights`.
        state: of the tokens before start_pos, see `SeaState`; changed to that of the last row.

    Returns:
        scores (H, T, K) before softmax, gates (H, T, 2) after the sigmoid, and v_mean (H, T, d), the mean of v up to
        each row's own token; float32.

    Raises:
        RuntimeError: dtypes, layouts or shapes that do not fit, or rows beyond the positions; the sentence names
            operator, argument and value.
    """
    return torch.ops.edgekit.sea_estimate(q, k, v, start_pos, list(weights), *state)


def sea_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    start_pos: int,
    weights: SeaWeights,
    state: SeaState,
    cache: Sequence[Tensor],
    k_budget: int,
) -> Tensor:
    """One token through SEA's attention of a layer: `sea_estimate`, `kv_append` and `sparse_topk_attention`.

    On a GPU it is one cooperative launch.

    Args:
        q, k, v: (H, 1, d) float32, contiguous; q scaled already.
        start_pos: the token's place, known at run time; 0 begins a new sequence.
        weights, state: see `SeaWeights` and `SeaState`; the state is changed.
        cache: k_cache and v_cache as of `kv_append`, with int8 ones k_scale and v_scale; changed.
        k_budget: tokens a head attends to, on average.

    Returns:
        (H, 1, d) float32.

    Raises:
        RuntimeError: what the three operators do not take; the sentence names operator, argument and value.
    """
    k_cache, v_cache, *scales = cache
    return torch.ops.edgekit.sea_step(q, k, v, start_pos, list(weights), *state, k_cache, v_cache, k_budget, *scales)


def csr_matmul(crow: Tensor, col: Tensor, val: Tensor, x: Tensor) -> Tensor:
    """A sparse matrix (R, C), in compressed rows, times x.

    Args:
        crow: (R + 1) int64: where each row's entries begin, from 0 to nnz.
        col: (nnz) int64: the entries' columns.
        val: (nnz) float32: their values.
        x: (..., C, N) float32, contiguous.

    Returns:
        (..., R, N) float32. A row's products are added in the order of its entries.

    Raises:
        RuntimeError: dtypes, layouts or shapes that do not fit; on a CPU a column beyond C, or crow that falls; the
            sentence names operator, argument and value.
    """
    return torch.ops.edgekit.csr_matmul(crow, col, val, x)


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: Sequence[int] = (0, 0), activation: float = 1.0
) -> Tensor:
    """A convolution of stride 1, exact to 1e-5 of the output's range.

    Args:
        x: (N, C, H, W) float32, contiguous.
        weight: (O, C, KH, KW) float32.
        bias: (O) float32.
        padding: rows of zeros above and below, columns of zeros left and right.
        activation: the factor of negative outputs: 1 for none, 0 for ReLU, 0.1 for LeakyReLU(0.1).

    Returns:
        (N, O, H + 2 * padding[0] - KH + 1, W + 2 * padding[1] - KW + 1) float32.

    Raises:
        RuntimeError: dtypes, layouts or shapes that do not fit; the sentence names operator, argument and value.
    """
    return torch.ops.edgekit.conv2d(x, weight, bias, list(padding), activation)


def _kv_append_shapes(k: Tensor, *others: object) -> Tensor:
    return k.new_empty((), dtype=torch.int64)


def _attention_shapes(q: Tensor, *others: object) -> Tensor:
    return q.new_empty(q.shape)


def _sea_estimate_shapes(
    q: Tensor, k: Tensor, v: Tensor, start_pos: int, weights: Sequence[Tensor], *state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    cells = SeaWeights(*weights).map_start.shape[0]
    return q.new_empty((*q.shape[:2], cells)), q.new_empty((*q.shape[:2], 2)), q.new_empty(q.shape)


def _sea_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    start_pos: int,
    weights: Sequence[Tensor],
    key_values: Tensor,
    keys: Tensor,
    values: Tensor,
    conv1_rows: Tensor,
    conv2_rows: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """Where no kernel of its own runs: the kernels of its parts, if they run."""
    state = (key_values, keys, values, conv1_rows, conv2_rows)
    scores, gates, v_mean = torch.ops.edgekit.sea_estimate(q, k, v, start_pos, weights, *state)
    torch.ops.edgekit.kv_append(k, v, start_pos, k_cache, v_cache, k_scale, v_scale)
    return torch.ops.edgekit.sparse_topk_attention(
        q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale
    )


def _csr_matmul_shapes(crow: Tensor, col: Tensor, val: Tensor, x: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-2], crow.shape[0] - 1, x.shape[-1]))


def _conv2d_shapes(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], activation: float) -> Tensor:
    sizes = [x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i] + 1 for i in range(2)]
    return x.new_empty((x.shape[0], weight.shape[0], *sizes))


def _topk_shapes(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    reference.check_topk(x, k)
    shape = (*x.shape[:-1], k)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


@functools.cache
def define() -> None:
    """Defines every operator in torch, once."""
    _define("sparse_topk", SPARSE_TOPK, SPARSE_TOPK_OUT, reference.sparse_topk, _topk_shapes, ("values", "indices"))
    _define("kv_append", KV_APPEND, KV_APPEND_OUT, reference.kv_append, _kv_append_shapes)
    _define(
        "sparse_topk_attention",
        SPARSE_TOPK_ATTENTION,
        SPARSE_TOPK_ATTENTION_OUT,
        reference.sparse_topk_attention,
        _attention_shapes,
    )
    torch.library.register_autograd(
        f"{NAMESPACE}::sparse_topk_attention", attention_gradient.backward, setup_context=attention_gradient.keep
    )
    _define(
        "sea_estimate",
        SEA_ESTIMATE,
        SEA_ESTIMATE_OUT,
        reference.sea_estimate,
        _sea_estimate_shapes,
        ("scores", "gates", "v_mean"),
    )
    _define("sea_step", SEA_STEP, SEA_STEP_OUT, _sea_step, _attention_shapes)
    _define("csr_matmul", CSR_MATMUL, CSR_MATMUL_OUT, reference.csr_matmul, _csr_matmul_shapes)
    _define("conv2d", CONV2D, CONV2D_OUT, reference.conv2d, _conv2d_shapes)


def _define(
    name: str,
    schema: str,
    out_schema: str,
    eager: Callable[..., object],
    shapes: Callable[..., object],
    outputs: tuple[str, ...] = ("out",),
) -> None:
    """Defines a functional operator and its `.out` form, with reference and fake implementations.

    The same schema in `REFERENCE` has the reference alone: where a GPU's kernels do not take a call, the binding takes
    that.
    """

    def into(*arguments: object, **keywords: Tensor) -> object:
        targets = tuple(keywords.pop(output) for output in outputs)
        results = eager(*arguments)
        for target, result in zip(targets, results if isinstance(results, tuple) else (results,), strict=True):
            target.copy_(result)
        return targets if len(targets) > 1 else targets[0]

    def shaped(*arguments: object, **keywords: Tensor) -> object:
        shapes(*arguments)
        targets = tuple(keywords[output] for output in outputs)
        return targets if len(targets) > 1 else targets[0]

    full = f"{NAMESPACE}::{name}"
    for suffix, text, plain, fake in (("", schema, eager, shapes), (".out", out_schema, into, shaped)):
        torch.library.define(full + suffix, text)
        torch.library.impl(full + suffix, "CompositeExplicitAutograd")(plain)
        torch.library.register_fake(full + suffix)(fake)
    torch.library.define(f"{REFERENCE}::{name}", schema)
    torch.library.impl(f"{REFERENCE}::{name}", "CompositeExplicitAutograd")(eager)
