"""Several bundles of one model against each other and against the eager fp32 model, on the same inputs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError
from edgekit.export.verify import Sample, compare, load_samples, session_predict, significant
from edgekit_runtime import Session
from edgekit_runtime.tensors import Array

#: What stands for the eager fp32 model beside the bundles' names.
EAGER = "eager fp32"


@dataclass(frozen=True)
class Difference:
    """How far one output of two programs differs, over all samples.

    Attributes:
        first, second: the bundles' names, or `EAGER`.
        method, output: which.
        max_abs: largest absolute difference.
        relative: the same as a share of the range of the first's output.
        snr_db: as `verify.OutputError`; None where the answers are equal.
    """

    first: str
    second: str
    method: str
    output: str
    max_abs: float
    relative: float
    snr_db: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "method": self.method,
            "output": self.output,
            "max_abs": significant(self.max_abs),
            "relative": significant(self.relative),
            "snr_db": None if self.snr_db is None else significant(self.snr_db),
        }


def differences(sessions: Mapping[str, Session]) -> list[Difference]:
    """Differences of every pair, the eager model among them, on samples that all of the bundles take.

    Args:
        sessions: of one model, by the bundles' names; their states begin anew.

    Raises:
        UsageError: no bundle's samples fit all others.
    """
    samples = _common_samples(sessions)
    specs = next(iter(sessions.values())).methods
    names = {sample.method for sample in samples}
    answers: dict[str, list[tuple[Array, ...]]] = {EAGER: [sample.outputs for sample in samples]}
    for name, session in sessions.items():
        session.reset_state()
        run = session_predict(session)
        answers[name] = [tuple(run(sample.method, sample.inputs)) for sample in samples]
    found = []
    for first, second in itertools.combinations(answers, 2):
        expected = [
            Sample(sample.method, sample.inputs, outputs)
            for sample, outputs in zip(samples, answers[first], strict=True)
        ]
        others = iter(answers[second])
        errors = compare((spec for spec in specs if spec.name in names), lambda *_, o=others: next(o), expected)
        found += [
            Difference(first, second, error.method, error.output, error.max_abs, error.relative, error.snr_db)
            for error in errors
        ]
    return found


def _common_samples(sessions: Mapping[str, Session]) -> Sequence[Sample]:
    """The samples of the first bundle whose samples every bundle takes."""
    for session in sessions.values():
        samples = load_samples(session.path, session.methods)
        if all(_takes(other, sample) for other in sessions.values() for sample in samples):
            return samples
    raise UsageError(f"{', '.join(sessions)} have no inputs in common: give bundles of one model and the same sizes.")


def _takes(session: Session, sample: Sample) -> bool:
    shapes = [array.shape for array in sample.inputs]
    outputs = len(sample.outputs)
    return any(
        spec.name == sample.method and spec.accepts(shapes) and len(spec.outputs) == outputs for spec in session.methods
    )
