"""Semi-nonnegative matrix factorization A = Z Y: sparse signed atoms Z, coefficients Y that are not negative.

The updates are those of Ding, Li and Jordan 2010, the sparsity that of Shafran, Geiger and Geva 2025 (arXiv:2506.10920,
section 3). A (da, n) is read chunk by chunk, once an iteration: the pass that updates Y also sums A Y^T and Y Y^T,
which is all that the next Z needs. Y is stored as (n, k), as vectors are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.errors import EdgekitError
from edgekit.models.features.dictionary import unit_atoms
from edgekit.models.training import TrainingState, flushed_denormals

from .activations import Vectors
from .initial import FLOOR, check_features, initial_coefficients
from .options import FitOptions

#: Added to the diagonal of Y Y^T, and to the denominators of Y's update.
RIDGE, EPSILON = 1e-6, 1e-6
#: Length of a row of Y below which its feature is dead; rows have length 1 before each update.
DEAD = 1e-8
#: Coefficients below this are taken as 0: far below what counts in a row of length 1, and where products of two are
#: still no denormal numbers, which cost a CPU several times the time.
TINY = 1e-18
#: Iterations after which dead features begin again, and after which the state is kept.
REVIVE_EVERY, SAVE_EVERY = 10, 50

#: What a state keeps of a fit.
_KEPT = (
    "atoms",
    "coefficients",
    "best_atoms",
    "best_coefficients",
    "products",
    "gram",
    "loss",
    "best_loss",
    "best_iteration",
    "waited",
)


@dataclass(frozen=True)
class Iteration:
    """How far a fit is.

    Attributes:
        iteration: how many are done.
        unexplained: share of the squared activations that Z Y leaves.
        best: the least of these shares so far.
        dead: features that no vector has.
    """

    iteration: int
    unexplained: float
    best: float
    dead: int


@dataclass(frozen=True)
class Factors:
    """What was found, in canonical form: what is used most comes first, dead features are left out.

    Attributes:
        atoms: (da, k) of unit length.
        coefficients: (n, k), not negative, in units of the vectors.
        unexplained: share of the squared vectors that they leave.
        iterations: that were done.
        best_iteration: after which these were kept.
        dead: features that were left out.
    """

    atoms: Tensor
    coefficients: Tensor
    unexplained: float
    iterations: int
    best_iteration: int
    dead: int


def neurons_kept(p: float, width: int) -> int:
    """Entries m of an atom that are not 0, of `width`."""
    return max(1, math.ceil(round(p * width, 6)))


def solved(products: Tensor, gram: Tensor) -> Tensor:
    """Z (da, k) = A Y^T (Y Y^T + ridge)^-1, of A Y^T (da, k) and Y Y^T (k, k); in their kind."""
    ridged = gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(ridged, products.T).T


def sparsified(atoms: Tensor, keep: int) -> Tensor:
    """Atoms (da, k) of which each keeps its `keep` largest entries by magnitude; of equals all are kept."""
    sizes = atoms.abs()
    return atoms * (sizes >= sizes.topk(keep, dim=0).values[-1])


def rescaled(atoms: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The same product Z Y, of atoms (da, k) and coefficients (n, k), each feature's coefficients of length 1."""
    lengths = coefficients.norm(dim=0).clamp_min(DEAD)
    return atoms * lengths, coefficients / lengths


def updated(coefficients: Tensor, scores: Tensor, gram: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Coefficients (c, k) after one multiplicative update.

    Args:
        coefficients: Y^T of some vectors.
        scores: (Z^T A)^T (c, k) of the same.
        gram: Z^T Z (k, k).
        epsilon: added to the denominators.
    """
    above = scores.clamp_min(0) + coefficients @ (-gram).clamp_min(0)
    below = (-scores).clamp_min(0) + coefficients @ gram.clamp_min(0) + epsilon
    return coefficients * (above / below).sqrt()


def factorize(
    vectors: Vectors,
    options: FitOptions,
    features: int | None = None,
    state_path: Path | None = None,
    run: Mapping[str, Any] | None = None,
    on_begin: Callable[[int], None] = lambda done: None,
    on_iteration: Callable[[Iteration], None] = lambda found: None,
) -> Factors:
    """The best pair of atoms and coefficients of all iterations, from the last state if `state_path` holds one.

    Args:
        vectors: A^T.
        options: how to fit.
        features: k, where it is not the options'.
        state_path: where the state is kept now and then; the caller removes it when the result is safe.
        run: what identifies this fit: plain values.
        on_begin: told before the first iteration how many an earlier run has done.
        on_iteration: told after every iteration.

    Raises:
        UsageError: more features than vectors.
        EdgekitError: all vectors are 0 or some are not finite, or the state is of another run.
    """
    with flushed_denormals():
        fit = Fit(vectors, options, features or options.features)
        state = TrainingState(run or {}, fit.generator, {}, dict.fromkeys(_KEPT))
        done = 0 if state_path is None else state.load(state_path)
        if done:
            fit.restore(done, state.kept)
        else:
            fit.begin()
        on_begin(done)
        while fit.iteration < options.iterations and fit.waited < options.patience:
            fit.step()
            on_iteration(fit.report())
            if state_path is not None and fit.iteration % SAVE_EVERY == 0:
                state.kept = fit.values()
                state.save(state_path, fit.iteration)
        if state_path is not None and fit.iteration != done:
            state.kept = fit.values()
            state.save(state_path, fit.iteration)
    return fit.best()


class Fit:
    """A fit under way, from `begin` or `restore` on.

    Args:
        vectors: A^T.
        options: how to fit.
        features: k.
        epsilon: added to the denominators of Y's update.

    Raises:
        UsageError: more features than vectors.
        EdgekitError: all vectors are 0, or some are not finite.

    Attributes:
        iteration: how many are done.
        waited: iterations since the last better pair.
        atoms: Z (da, k).
        coefficients: Y^T (n, k).
        loss: squared error of the two.
    """

    def __init__(self, vectors: Vectors, options: FitOptions, features: int, epsilon: float = EPSILON) -> None:
        self.vectors, self.options, self.epsilon = vectors, options, epsilon
        self.keep = neurons_kept(options.p, vectors.width)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.energy = math.fsum(part.square().sum(dtype=torch.float64).item() for _, part in vectors.chunks())
        if not math.isfinite(self.energy):
            raise EdgekitError("activations are not finite: the checkpoint is damaged, copy or train it again.")
        if self.energy == 0:
            raise EdgekitError("no neuron is ever active on this text: give another text, or another layer.")
        check_features(vectors, features, options.init)
        self.features = features
        self.iteration = self.best_iteration = self.waited = 0
        self.loss = self.best_loss = math.inf

    def begin(self) -> None:
        """Coefficients as the options say."""
        self.coefficients = initial_coefficients(self.vectors, self.features, self.options.init, self.generator)
        self.atoms = self.coefficients.new_zeros(self.vectors.width, self.features)
        self._moments()
        self.best_atoms, self.best_coefficients = self.atoms.clone(), self.coefficients.clone()

    def values(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {name: value.cpu() if isinstance(value := getattr(self, name), Tensor) else value for name in _KEPT}

    def restore(self, iteration: int, values: Mapping[str, Any]) -> None:
        """Goes on where `values` were taken."""
        self.iteration = iteration
        for name, value in values.items():
            setattr(self, name, value.to(self.vectors.device) if isinstance(value, Tensor) else value)

    def step(self) -> None:
        """One iteration."""
        dead = self._dead()
        if dead.any() and self.iteration and self.iteration % REVIVE_EVERY == 0:
            self._revive(dead)
        atoms = sparsified(solved(self.products, self.gram).to(self.vectors.dtype), self.keep)
        self.atoms, self.coefficients = rescaled(atoms, self.coefficients)
        self._update()
        self.iteration += 1
        if self.loss < self.best_loss * (1 - self.options.tolerance) or self.iteration == 1:
            self.best_loss, self.best_iteration, self.waited = self.loss, self.iteration, 0
            self.best_atoms.copy_(self.atoms)
            self.best_coefficients.copy_(self.coefficients)
        else:
            self.waited += 1

    def report(self) -> Iteration:
        return Iteration(self.iteration, self.loss / self.energy, self.best_loss / self.energy, int(self._dead().sum()))

    def best(self) -> Factors:
        """The best pair so far, in canonical form."""
        atoms, lengths = unit_atoms(self.best_atoms)
        coefficients = self.best_coefficients * lengths
        use = coefficients.mean(0, dtype=torch.float64)
        order = use.argsort(descending=True, stable=True)
        order = order[(use > 0)[order]]
        return Factors(
            atoms[:, order],
            coefficients[:, order],
            self.best_loss / self.energy,
            self.iteration,
            self.best_iteration,
            len(use) - len(order),
        )

    def _update(self) -> None:
        """Y's update for these atoms, the squared error after it, and sums for the next atoms: one pass."""
        gram = self.atoms.double().T @ self.atoms.double()
        narrow = gram.to(self.vectors.dtype)
        explained = 0.0
        self._begin_moments()
        for place, part in self.vectors.chunks():
            scores = part @ self.atoms
            now = self.coefficients[place]
            for _ in range(self.options.updates):
                now = updated(now, scores, narrow, self.epsilon)
            now = functional.threshold(now, TINY, 0.0)
            self.coefficients[place] = now
            explained += (scores * now).sum(dtype=torch.float64).item()
            self._add_moments(part, now)
        # |A - Z Y|^2 = |A|^2 - 2 <Z^T A, Y> + <Z^T Z, Y Y^T>
        self.loss = self.energy - 2 * explained + (gram * self.gram).sum().item()

    def _moments(self) -> None:
        self._begin_moments()
        for place, part in self.vectors.chunks():
            self._add_moments(part, self.coefficients[place])

    def _begin_moments(self) -> None:
        width, features = self.atoms.shape
        self.products = torch.zeros(width, features, dtype=torch.float64, device=self.vectors.device)
        self.gram = self.products.new_zeros(features, features)

    def _add_moments(self, part: Tensor, coefficients: Tensor) -> None:
        self.products += part.T @ coefficients
        self.gram += coefficients.T @ coefficients

    def _dead(self) -> Tensor:
        """Which features (k,) bool no vector has."""
        return self.gram.diagonal().sqrt() <= DEAD

    def _revive(self, dead: Tensor) -> None:
        """Dead features begin again, each at one of the vectors that are explained worst."""
        errors = torch.cat(
            [(part - self.coefficients[place] @ self.atoms.T).square().sum(1) for place, part in self.vectors.chunks()]
        )
        features = dead.nonzero()[:, 0]
        self.coefficients[:, features] = FLOOR
        self.coefficients[errors.topk(len(features)).indices, features] = 1.0
        self._moments()
