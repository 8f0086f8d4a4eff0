"""The graph that finds which features a token has, from the k + 1 numbers that `taps` gives of each tapped layer.

With atoms D of unit length, ||a - D y||^2 = e - 2 y.c + y.(G y) where c = D^T a, e = ||a||^2 and G = D^T D: all that is
asked of a token's da activations are c and e. The coefficients y >= 0 that make it least are found by ADMM, unrolled.
FISTA costs the same, one product by a k x k matrix a step, but after 16 steps is still 1 % above the least error of the
shipped model's activations with 100 features, and 11 % for one token of twenty; ADMM is within 0.2 % for every token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.kernels import ops
from edgekit.models.model import StateForm

from .dictionary import Dictionary

#: Steps with all features, and with those that are shown.
STEPS, REFIT_STEPS = 16, 8
#: ADMM's penalty for atoms of unit length, and its over-relaxation (Boyd et al. 2011, section 3.4.3).
PENALTY, RELAXATION = 0.5, 1.8
#: A coefficient below this is none; |a|^2 below it has nothing to explain.
LEAST = 1e-12


class Explain(nn.Module):
    """Taps (T, L, k + 1) float32 to features (T, L, s) int64, values (T, L, s) float32, the largest first, and the
    share of |a|^2 that these leave unexplained, (T, L) float32 in [0, 1].

    A place that no feature takes has value 0 and feature 0.

    Args:
        dictionary: of the tapped layers.
        shown: s, at most k.
        form: of the program; in "standard" torch's own top-k stands in for edgekit's, and T is 1.
    """

    def __init__(self, dictionary: Dictionary, shown: int, form: StateForm = "buffers") -> None:
        super().__init__()
        self.solvers = nn.ModuleList(_Solver(layer.atoms, shown, form) for layer in dictionary.layers)

    def forward(self, taps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = [solver(taps[:, place]) for place, solver in enumerate(self.solvers)]
        features, values, unexplained = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        return features, values, unexplained

    def clearness(self, taps: Tensor) -> Tensor:
        """How far apart coefficients are whose order decides what is given (T,), as a share of the largest: 0 for
        equal ones. Where it is small, what rounds may give other features."""
        solvers = zip(self.solvers, taps.unbind(1), strict=True)
        return torch.stack([solver.clearness(part) for solver, part in solvers]).amin(0)  # type: ignore[operator]


class _Solver(nn.Module):
    """The same for one layer: taps (T, k + 1).

    A step of over-relaxed ADMM is x = (c + rho (z - u)) (G + rho I)^-1, h = r x + (1 - r) z, z' = max(h + u, 0) on the
    features that are allowed and 0 elsewhere, u' = u + h - z'. With v = h + u, of which z' and u' are parts, and
    w = z' - u' it is v' = r c (G + rho I)^-1 + w N + (1 - r / 2) v, N = r rho (G + rho I)^-1 - r / 2 I: one product.
    """

    def __init__(self, atoms: Tensor, shown: int, form: StateForm) -> None:
        super().__init__()
        self.shown, self.form = shown, form
        # Sums in float64, rounded once: the same bits for any number of threads.
        atoms = atoms.double()
        gram, one = atoms.T @ atoms, torch.eye(atoms.shape[1], dtype=torch.float64)
        inverse = RELAXATION * torch.linalg.inv(gram + PENALTY * one)
        for name, matrix in (("gram", gram), ("start", inverse), ("step", PENALTY * inverse - RELAXATION / 2 * one)):
            self.register_buffer(name, ((matrix + matrix.T) / 2).float())
        # Tensors: a delegate takes no other numbers.
        self.register_buffer("stay", torch.tensor([1 - RELAXATION / 2]))
        self.register_buffer("two", torch.tensor([2.0]))
        self.register_buffer("places", torch.arange(len(gram)))
        self.gram: Tensor
        self.start: Tensor
        self.step: Tensor
        self.stay: Tensor
        self.two: Tensor
        self.places: Tensor

    def forward(self, taps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c, energy = taps[:, :-1], taps[:, -1]
        first = c @ self.start
        v = self._solved(first)
        y = self._refitted(first, v)
        error = energy + (y * (y @ self.gram - self.two * c)).sum(-1)
        unexplained = (error / energy.clamp_min(LEAST)).clamp(0, 1)
        values, features = self._largest(y)
        return features * (values > 0).to(features.dtype), values, unexplained

    def clearness(self, taps: Tensor) -> Tensor:
        """See `Explain.clearness`: of taps (T, k + 1)."""
        first = taps[:, :-1] @ self.start
        v = self._solved(first)
        # The last of these is the first that is not shown, or 0.
        all_ = nn.functional.pad(v.relu().sort(descending=True).values, (0, 1))[:, : self.shown + 1]
        shown = self._refitted(first, v).sort(descending=True).values[:, : self.shown]
        gaps = torch.cat((all_[:, -2:-1] - all_[:, -1:], shown[:, :-1] - shown[:, 1:]), 1)
        least: Tensor = (gaps / all_[:, :1].clamp_min(LEAST)).amin(1)
        return least

    def _solved(self, first: Tensor) -> Tensor:
        """v (T, k) after the steps with all features, from r c (G + rho I)^-1."""
        v = first
        for _ in range(STEPS - 1):
            v = first + v.abs() @ self.step + v * self.stay
        return v

    def _refitted(self, first: Tensor, v: Tensor) -> Tensor:
        """Coefficients (T, k), of which only the largest of v's are not 0."""
        # By number, so that equal coefficients are told apart.
        values, features = self._largest(v.relu())
        chosen = (features[:, :, None] == self.places).to(v.dtype) * (values > LEAST).to(v.dtype)[:, :, None]
        allowed = chosen.sum(1)
        twice = allowed * self.two
        for _ in range(REFIT_STEPS):
            v = first + (v.relu() * twice - v) @ self.step + v * self.stay
        return v.relu() * allowed

    def _largest(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Values and features (T, s) of coefficients (T, k)."""
        if self.form != "standard":
            return ops.sparse_topk(y, self.shown)
        # Of several rows it would be a sort to litert-torch, which no interpreter has.
        values, features = y.reshape(-1).topk(self.shown)
        return values[None], features[None]
