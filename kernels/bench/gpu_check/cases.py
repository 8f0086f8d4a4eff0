"""The cases: sizes, contenders, what is wanted, and that contenders which should agree do."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from edgekit.errors import EdgekitError
from edgekit.kernels import ops, sea_attention
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

from .figures import Figure, percentile, ratio
from .meter import Meter

OURS = "edgekit"
BACKENDS = {
    "flash attention": SDPBackend.FLASH_ATTENTION,
    "memory-efficient attention": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN attention": SDPBackend.CUDNN_ATTENTION,
    "plain attention": SDPBackend.MATH,
}
#: Of the rows, those that must agree with the CPU's: a few choose other tokens where scores are nearly equal.
AGREEING, TOLERANCE = 0.999, 1e-3


@dataclass(frozen=True)
class Sizes:
    """Of a run.

    Attributes:
        topk: (rows, n, k), each with the ratio to torch.topk that is wanted; the last is rated by bandwidth, too.
        heads, size, features, cells, budget: of a layer's attention (H, d, M, K, k).
        prefill: T, each with the wanted ratio to flash attention, None to report it only.
        decode: L.
        memory: T of the measurement of memory.
        rounds: of each contender.
        pool: bytes of different inputs that contenders go through.
        doublings: of each operator's size, in search of where the GPU is faster.
    """

    topk: Mapping[tuple[int, int, int], float] = field(
        default_factory=lambda: {(4096, 256, 32): 3.0, (2048, 3072, 96): 3.0, (8192, 3072, 96): 3.0}
    )
    heads: int = 12
    size: int = 64
    features: int = 33
    cells: int = 256
    budget: int = 64
    prefill: Mapping[int, float | None] = field(default_factory=lambda: {8192: None, 32768: 1.0, 131072: 4.0})
    decode: int = 32768
    memory: int = 32768
    rounds: int = 20
    pool: int = 256 << 20
    doublings: int = 10


#: Shares, ratios and sizes that are wanted.
BANDWIDTH_SHARE, DECODE_RATIO, LAUNCHES, EXTRA_MB = 40.0, 1.5, 1, 64.0


def figures(meter: Meter, sizes: Sizes, say: Callable[[str], None]) -> Iterator[Figure]:
    """All of them.

    Args:
        meter: measures.
        sizes: of the cases.
        say: told what comes next.

    Raises:
        EdgekitError: contenders do not agree, or torch has no flash attention here.
    """
    say("sparse_topk")
    check_kernels(meter)
    yield from _topk(meter, sizes)
    say("SEA attention against the CPU's")
    check_attention(meter, sizes)
    for tokens, target in sizes.prefill.items():
        say(f"SEA attention, T = {tokens}")
        yield _prefill(meter, sizes, tokens, target)
    say("one decode step")
    yield from _decode(meter, sizes)
    say("memory")
    yield _memory(meter, sizes)


def check_kernels(meter: Meter) -> None:
    """Refuses to time anything where torch's own operators stand in for edgekit's kernels.

    Raises:
        EdgekitError: none of edgekit's kernels runs there.
    """
    x = torch.randn(64, 256, device=meter.device)
    found = meter.kernels(lambda: ops.sparse_topk(x, 8))
    if found is not None and not any(name.startswith("edgekit_") for name in found):
        raise EdgekitError(
            f"sparse_topk launches {', '.join(found) or 'nothing'} on {meter.device}, not edgekit's kernel: nothing is "
            f"timed; EDGEKIT_GPU=1 says why when an operator is called on a CPU's tensor."
        )


def _topk(meter: Meter, sizes: Sizes) -> Iterator[Figure]:
    for (rows, n, k), target in sizes.topk.items():
        pool = [
            torch.randn(rows, n, generator=torch.Generator(meter.device).manual_seed(seed), device=meter.device)
            for seed in range(max(2, min(64, sizes.pool // (4 * rows * n))))
        ]
        _check_topk(pool[0], k)
        times = meter.times(
            {
                OURS: lambda turn, pool=pool, k=k: ops.sparse_topk(pool[turn % len(pool)], k),  # type: ignore[misc]
                "torch.topk": lambda turn, pool=pool, k=k: torch.topk(pool[turn % len(pool)], k),  # type: ignore[misc]
            },
            sizes.rounds,
        )
        case = f"({rows}, {n}, {k})"
        yield ratio("`sparse_topk`", case, times[OURS], times["torch.topk"], "`torch.topk`", target)
    # Read once; a value and an index of 8 bytes written for each that is chosen.
    floor = (4 * rows * n + 12 * rows * k) / meter.bandwidth() / 1e6
    shares = sorted(100 * floor / time for time in times[OURS])
    yield Figure(
        *("`sparse_topk`, share of the memory floor", case, statistics.median(shares), "%", BANDWIDTH_SHARE),
        low=percentile(shares, 0.1),
        high=percentile(shares, 0.9),
        milliseconds=statistics.median(times[OURS]),
        against="one pass over the data",
        against_milliseconds=floor,
    )


def _check_topk(x: Tensor, k: int) -> None:
    values, indices = ops.sparse_topk(x, k)
    if not torch.equal(values, torch.topk(x, k).values) or not torch.equal(values, x.gather(-1, indices)):
        raise EdgekitError(f"sparse_topk and torch.topk do not agree at {tuple(x.shape)}, k = {k}: nothing is timed.")


def check_attention(meter: Meter, sizes: Sizes) -> None:
    """Compares `sea_attention` there and on the CPU.

    Raises:
        EdgekitError: too many rows are off.
    """
    tokens = min(1024, sizes.memory)
    weights = _weights(sizes, tokens, torch.device("cpu"))
    rows = _rows(sizes, tokens, torch.device("cpu"))
    there = sea_attention(*(one.to(meter.device) for one in rows), _to(weights, meter.device), sizes.budget).cpu()
    here = sea_attention(*rows, weights, sizes.budget)
    off = (there - here).abs().amax(-1) > TOLERANCE * float(here.abs().max())
    share = 1 - float(off.float().mean())
    if not share >= AGREEING:
        raise EdgekitError(
            f"sea_attention on {meter.device} and on the CPU agree on {100 * share:.2f} % of {off.numel()} rows only, "
            f"{100 * AGREEING} % are wanted: nothing is timed."
        )


def _prefill(meter: Meter, sizes: Sizes, tokens: int, target: float | None) -> Figure:
    q, k, v = _rows(sizes, tokens, meter.device)
    weights = _weights(sizes, tokens, meter.device)
    # Their scale is in q already.
    half = [tensor.half()[None] for tensor in (q, k, v)]

    def flash(turn: int) -> Tensor:
        with _backend("flash attention"):
            return scaled_dot_product_attention(*half, is_causal=True, scale=1.0)

    try:
        flash(0)
    except RuntimeError as error:
        raise EdgekitError(f"torch has no flash attention in fp16 here: {str(error).splitlines()[0]}") from error
    times = meter.times(
        {OURS: lambda turn: sea_attention(q, k, v, weights, sizes.budget), "flash": flash},
        max(3, min(sizes.rounds, sizes.rounds * 32768 // tokens)),
    )
    case = f"prefill, {sizes.heads} x {sizes.size}, T = {tokens}"
    return ratio("SEA attention", case, times[OURS], times["flash"], "flash attention, fp16", target)


def _decode(meter: Meter, sizes: Sizes) -> Iterator[Figure]:
    length, heads, size = sizes.decode, sizes.heads, sizes.size
    weights = _weights(sizes, length, meter.device)
    state = SeaState.zeros(heads, size, sizes.features, len(weights.row_norm_weight), meter.device)
    ops.sea_estimate(*_rows(sizes, min(128, length), meter.device), 0, weights, state)
    q, k, v = _rows(sizes, 1, meter.device)
    caches = [tensor.half() for tensor in _rows(sizes, length, meter.device)[1:]]

    def step(turn: int = 0) -> Tensor:
        return ops.sea_step(q, k, v, length - 1, weights, state, caches, sizes.budget)

    dense = [tensor.clone() for tensor in caches]
    half = [tensor.half() for tensor in (q, k, v)]

    def attend(backend: str) -> Callable[[int], Tensor]:
        def run(turn: int) -> Tensor:
            for cache, row in zip(dense, half[1:], strict=True):
                cache[:, -1:] = row
            with _backend(backend):
                return scaled_dot_product_attention(half[0][None], dense[0][None], dense[1][None], scale=1.0)

        return run

    able = {name: attend(name) for name in BACKENDS if _works(attend(name))}
    times = meter.times({OURS: step, **able}, sizes.rounds)
    best = min(able, key=lambda name: statistics.median(times[name]))
    case = f"one decode step, L = {length}"
    yield ratio("SEA attention", case, times[OURS], times[best], f"torch SDPA ({best}), fp16", DECODE_RATIO)
    kernels = meter.kernels(step)
    if kernels is not None:
        yield Figure("SEA attention, kernels", case, len(kernels), "launches", LAUNCHES, at_most=True)


def _memory(meter: Meter, sizes: Sizes) -> Figure:
    weights = _weights(sizes, sizes.memory, meter.device)
    rows = _rows(sizes, sizes.memory, meter.device)
    sea_attention(*(one[:, :128].contiguous() for one in rows), weights, sizes.budget)
    extra = meter.extra_bytes(lambda: sea_attention(*rows, weights, sizes.budget))
    case = f"prefill, {sizes.heads} x {sizes.size}, T = {sizes.memory}"
    return Figure("SEA attention, peak extra memory", case, extra / 1e6, "MB", EXTRA_MB, at_most=True)


def _works(run: Callable[[int], object]) -> bool:
    try:
        run(0)
    except RuntimeError:
        return False
    return True


def _backend(name: str) -> AbstractContextManager[None]:
    """Only that one."""
    return sdpa_kernel(BACKENDS[name])


def _weights(sizes: Sizes, tokens: int, device: torch.device) -> SeaWeights:
    return _to(random_weights(sizes.heads, sizes.size, sizes.features, sizes.cells, tokens), device)


def _to(weights: SeaWeights, device: torch.device) -> SeaWeights:
    return SeaWeights(*(tensor.to(device) for tensor in weights))


def _rows(sizes: Sizes, tokens: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """q, scaled already, k and v (H, T, d)."""
    generator = torch.Generator(device).manual_seed(tokens)
    shape = (sizes.heads, tokens, sizes.size)
    q, k, v = (torch.randn(shape, generator=generator, device=device) for _ in range(3))
    return q * sizes.size**-0.5, k, v
