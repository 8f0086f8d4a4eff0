"""How features are fitted; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.errors import UsageError, unknown_name
from edgekit.models.settings import DEVICE, Setting, describe_settings, settable

#: How coefficients can begin.
INITS = ("k-means", "random", "svd")
#: Sizes of the hierarchy's levels for `levels=auto`, as shares of the features.
AUTOMATIC_LEVELS = (0.5, 0.25, 0.1)


@dataclass(frozen=True)
class FitOptions:
    """How to fit; the defaults take a minute or two a layer of 1024 neurons on two cores.

    Attributes:
        features: k of each layer.
        p: share of a layer's neurons that an atom has, at least one; 1 for all.
        tokens: most that are fitted to, evenly spread over the text.
        context: tokens of a window that the model sees at once; none for its longest.
        init: how coefficients begin: k-means, random or svd.
        iterations: most of them, of a layer.
        updates: of the coefficients in an iteration; the paper has one, more cost little and need fewer iterations.
        patience: iterations without a better fit after which a layer is done.
        tolerance: by how much a better fit is better, as a share of the best squared error.
        levels: parents of each level of the hierarchy, such as 50,25,10; auto for a half, a quarter and a tenth of the
            features, none for no hierarchy.
        concepts: how often the training sentences of the planted concepts are added to the text, beyond `tokens`.
        seed: for everything random.
    """

    features: int = 100
    p: float = 0.05
    tokens: int = 30_000
    context: int | None = 256
    init: str = "k-means"
    iterations: int = 500
    updates: int = 1
    patience: int = 100
    tolerance: float = 1e-5
    levels: str = "auto"
    concepts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("features", "tokens", "context", "iterations", "updates", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"a fit needs {name} of at least 1, not {value}.")
        if not 0 <= self.concepts <= 100:
            raise UsageError(f"a fit takes the concepts' sentences 0 to 100 times, not {self.concepts}.")
        if not 0 < self.p <= 1:
            raise UsageError(f"a fit needs a p above 0 and at most 1, not {self.p}.")
        if not 0 <= self.tolerance < math.inf:
            raise UsageError(f"a fit needs a tolerance of 0 or more, not {self.tolerance}.")
        if self.init not in INITS:
            raise unknown_name("init", self.init, INITS)
        self.level_sizes()

    def level_sizes(self) -> tuple[int, ...]:
        """Parents of each level, the lowest first; every level has fewer than the one below.

        Raises:
            UsageError: `levels` is something else.
        """
        if self.levels in ("none", ""):
            return ()
        if self.levels == "auto":
            sizes = [int(share * self.features) for share in AUTOMATIC_LEVELS]
            return tuple(size for size in sizes if size >= 2)
        try:
            sizes = [int(size) for size in self.levels.split(",")]
        except ValueError:
            raise UsageError(f"levels are numbers such as 50,25,10, or auto or none, not {self.levels!r}.") from None
        falling = [self.features, *sizes]
        if any(below <= size for below, size in zip(falling, sizes, strict=False)) or min(sizes) < 1:
            raise UsageError(
                f"levels {self.levels} of {self.features} features: every level has fewer parents than the one below."
            )
        return tuple(sizes)


#: What `--set` changes: how to fit, and where.
FIT_SETTINGS = settable(FitOptions, ("features", "seed")) | {"device": "str"}


def list_settings() -> list[Setting]:
    """What `--set` takes at `edgekit explain fit`."""
    return [*describe_settings(FitOptions, ("features", "seed")), DEVICE]
