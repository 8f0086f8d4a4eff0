"""The models that edgekit knows by name. Adding one adds a line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.errors import unknown_name

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.models.cost import Cost
    from edgekit.models.model import Model, Request
    from edgekit.models.settings import Setting
    from edgekit.models.tasks import EvaluateRequest, Evaluation, TrainRequest


@dataclass(frozen=True)
class ZooEntry:
    """A model's name, its variants (the default first), its task, where its code is, and its class there."""

    name: str
    variants: tuple[str, ...]
    task: str
    summary: str
    package: str
    class_name: str

    def model_class(self) -> type[Model]:
        """What `load` gives one of."""
        found: type[Model] = getattr(importlib.import_module(f"{self.package}.model"), self.class_name)
        return found

    def load(self, request: Request) -> Model:
        """The model with its checkpoint.

        Raises:
            UsageError: an unknown variant, or an option that the model does not take.
            EdgekitError: the checkpoint or the data does not fit.
        """
        self._check_variant(request.variant)
        model: Model = importlib.import_module(f"{self.package}.model").load(request)
        return model

    def train(self, request: TrainRequest) -> list[Path]:
        """Trains; gives the checkpoints' paths."""
        self._check_variant(request.variant)
        paths: list[Path] = importlib.import_module(f"{self.package}.train").train_entities(request)
        return paths

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Task metrics on labelled data."""
        self._check_variant(request.variant)
        evaluation: Evaluation = importlib.import_module(f"{self.package}.evaluation").evaluate(request)
        return evaluation

    def settings(self) -> dict[str, list[Setting]]:
        """What `--set` takes, by command."""
        modules = {"export": "model", "train": "train", "evaluate": "evaluation"}
        return {
            command: importlib.import_module(f"{self.package}.{module}").list_settings()
            for command, module in modules.items()
        }

    def cost(self, variant: str) -> Cost:
        """Parameters and multiply-accumulates of a variant at its default size; needs neither checkpoint nor torch."""
        self._check_variant(variant)
        cost: Cost = importlib.import_module(f"{self.package}.cost").cost(variant)
        return cost

    def _check_variant(self, variant: str | None) -> None:
        if variant is not None and variant not in self.variants:
            raise unknown_name(f"variant of {self.name}", variant, self.variants, "edgekit list models")


_ENTRIES = (
    ZooEntry(
        "rpcanet",
        ("s1", "s2", "s3", "s6", "s9", "v1"),
        "segment",
        "small objects and defects in images, by robust PCA unfolded into stages",
        "edgekit.models.rpcanet",
        "RPCANetModel",
    ),
    ZooEntry(
        "sea-opt",
        ("base", "125m", "350m", "1.3b", "2.7b"),
        "generate_text",
        "language model whose attention cost does not grow with the context",
        "edgekit.models.sea_opt",
        "SEAOPTModel",
    ),
    ZooEntry(
        "stackvae-g",
        ("base",),
        "detect_anomalies",
        "anomaly detection on many sensor channels, with a learned channel graph",
        "edgekit.models.stackvae_g",
        "StackVAEGModel",
    ),
)


def zoo() -> tuple[ZooEntry, ...]:
    """Every model, by name."""
    return tuple(sorted(_ENTRIES, key=lambda entry: entry.name))


def find_model(name: str) -> ZooEntry:
    """The entry of that name.

    Raises:
        UsageError: unknown; the message names the nearest.
    """
    for entry in _ENTRIES:
        if entry.name == name.lower().replace("_", "-"):
            return entry
    raise unknown_name("model", name, [entry.name for entry in _ENTRIES], "edgekit list models")
