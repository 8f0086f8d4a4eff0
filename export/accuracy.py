"""The accuracy report: errors per output, task metrics of the eager fp32 model and of the recipe, and the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.export.recipes import Recipe
from edgekit.export.verify import OutputError, Sample, compare, gate_failures, significant
from edgekit.models.metrics import Drop, Extent, Metric, Predict, TaskMetrics, samples_of
from edgekit.models.model import Model
from edgekit_runtime.tensors import MethodSpec


@dataclass(frozen=True)
class Accuracy:
    """How far a recipe's answers are from the eager fp32 model's, and what they are worth.

    Attributes:
        samples: inputs that `outputs` were measured on.
        outputs: errors of every output.
        eager: the eager model's task metrics; None where the model has none.
        found: the recipe's.
        allowed: by how much the first metric may be worse, in its unit.
        failures: what misses the gate, a sentence each.
        agreement: how often the recipe's modules choose what the eager model's choose; None where nothing is chosen.
    """

    samples: int
    outputs: list[OutputError]
    eager: TaskMetrics | None
    found: TaskMetrics | None
    allowed: float | None
    failures: list[str]
    agreement: Metric | None = None

    @property
    def loss(self) -> float | None:
        """By how much the first metric is worse than eager; negative where it is better."""
        if self.eager is None or self.found is None:
            return None
        return self.eager.gated.loss(self.found.gated.value)

    def to_dict(self) -> dict[str, Any]:
        """The manifest's field `accuracy`: `metric` is the one that the gate looks at, `metrics` are all."""
        metrics: list[dict[str, Any]] = []
        gated: dict[str, Any] | None = None
        if self.eager is not None and self.found is not None:
            metrics = [
                {
                    "name": eager.name,
                    "better": "higher" if eager.higher_is_better else "lower",
                    "eager": significant(eager.value),
                    "program": significant(found.value),
                }
                for eager, found in zip(self.eager.metrics, self.found.metrics, strict=True)
            ]
            assert self.allowed is not None
            if self.agreement is not None:
                found = {"eager": 1.0, "program": significant(self.agreement.value)}
                metrics.append({"name": self.agreement.name, "better": "higher", **found})
            gated = metrics[0] | {
                "max_drop": significant(self.allowed),
                "data": self.eager.data,
                "samples": self.eager.samples,
                "unit": self.eager.unit,
            }
        return {
            "samples": self.samples,
            "outputs": [error.to_dict() for error in self.outputs],
            "metric": gated,
            "metrics": metrics,
            "gate": {"passed": not self.failures, "failures": self.failures},
        }


def eager_metrics(model: Model, extent: Extent) -> TaskMetrics | None:
    """The task metrics of the eager fp32 model."""
    return model.task_metrics(None, samples_of(extent, model.quick_samples))


def measure_accuracy(
    model: Model,
    recipe: Recipe,
    specs: Sequence[MethodSpec],
    predict: Predict,
    samples: list[Sample],
    eager: TaskMetrics | None,
    extent: Extent = "quick",
    drop: Drop | None = None,
) -> Accuracy:
    """Runs the samples and the task metrics through a program.

    Args:
        model: whose program it is.
        recipe: whose bounds hold.
        specs: the program's methods.
        predict: runs one of them.
        samples: of `verify.make_samples`.
        eager: of `eager_metrics` with the same extent.
        extent: how much of the evaluation set is taken.
        drop: by how much the first metric may be worse; None for what the model allows the recipe.
    """
    errors = compare(specs, predict, samples)
    if eager is None:
        return Accuracy(len(samples), errors, None, None, None, gate_failures(errors, recipe))
    found = model.task_metrics(predict, samples_of(extent, model.quick_samples))
    assert found is not None
    allowed = (drop or model.max_drop(recipe.name, recipe.kv)).allowed(eager.gated.value)
    failures = gate_failures(errors, recipe, eager.gated, found.gated.value, allowed)
    return Accuracy(len(samples), errors, eager, found, allowed, failures)


def missed(name: object, failures: Sequence[str]) -> str:
    """That a bundle misses its gate, without the full stop."""
    return f"{name} misses its accuracy gate: {'; '.join(failures)}"
