"""Where coefficients begin: by k-means, at random, or by singular vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.errors import UsageError

from .activations import Vectors

#: Smallest coefficient at the start: the updates multiply, and never leave 0.
FLOOR = 1e-6
#: Lloyd's steps of k-means.
LLOYD_STEPS = 15


def check_features(vectors: Vectors, features: int, init: str) -> None:
    """Refuses more features than there can be.

    Raises:
        UsageError: they are more than the vectors, or than the singular vectors that `init` takes.
    """
    if features > vectors.count:
        raise UsageError(
            f"{features} features of {vectors.count} tokens: give more text, or fewer features with --features."
        )
    if init == "svd" and features > vectors.width:
        raise UsageError(f"{features} features of {vectors.width} neurons have no singular vectors: take another init.")


def initial_coefficients(vectors: Vectors, features: int, init: str, generator: torch.Generator) -> Tensor:
    """Coefficients (n, k) of the vectors' kind, at least `FLOOR`.

    Args:
        vectors: n of them.
        features: k.
        init: of `options.INITS`.
        generator: on the CPU.
    """
    if init == "k-means":
        return _by_clusters(vectors, features, generator)
    if init == "svd":
        return _by_singular_vectors(vectors, features)
    drawn = torch.rand(vectors.count, features, generator=generator, dtype=vectors.dtype)
    return drawn.clamp_min(FLOOR).to(vectors.device)


def _by_clusters(vectors: Vectors, features: int, generator: torch.Generator) -> Tensor:
    """1 for the nearest centre, after a few of Lloyd's steps from random vectors; a centre without vectors begins again
    at another random one."""
    centres = vectors.take(torch.randperm(vectors.count, generator=generator)[:features])
    for _ in range(LLOYD_STEPS):
        sums = torch.zeros_like(centres, dtype=torch.float64)
        counts = sums.new_zeros(features)
        for _, part in vectors.chunks():
            members = _nearest(part, centres)
            sums += members.T @ part
            counts += members.sum(0)
        again = torch.randint(vectors.count, (features,), generator=generator)
        means = (sums / counts.clamp_min(1)[:, None]).to(vectors.dtype)
        centres = torch.where((counts > 0)[:, None], means, vectors.take(again))
    return torch.cat([_nearest(part, centres) for _, part in vectors.chunks()]).clamp_min(FLOOR)


def _nearest(part: Tensor, centres: Tensor) -> Tensor:
    """(c, k): 1 for the nearest centre, else 0; the first of equals."""
    distances = centres.square().sum(1) - 2 * part @ centres.T
    return torch.zeros_like(distances).scatter_(1, distances.argmin(1, keepdim=True), 1)


def _by_singular_vectors(vectors: Vectors, features: int) -> Tensor:
    """max(S^1/2 V^T, floor) of the singular values S and vectors V, from the eigenvectors of A A^T."""
    products = torch.zeros(vectors.width, vectors.width, dtype=torch.float64, device=vectors.device)
    for _, part in vectors.chunks():
        products += part.T @ part
    squares, directions = torch.linalg.eigh(products)
    squares, directions = squares.flip(0)[:features], directions.flip(1)[:, :features]
    # S^1/2 V^T = S^-1/2 U^T A; nothing is behind singular values of 0.
    scale = torch.where(squares > 1e-12 * squares[0], squares.clamp_min(1e-300) ** -0.25, 0.0)
    # Eigenvectors have no sign: this one makes most of the coefficients' sum positive.
    towards = torch.stack([part.double().sum(0) for _, part in vectors.chunks()]).sum(0) @ directions
    basis = (directions * scale * torch.where(towards < 0, -1.0, 1.0)).to(vectors.dtype)
    return torch.cat([part @ basis for _, part in vectors.chunks()]).clamp_min(FLOOR)
