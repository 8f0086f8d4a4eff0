"""Verify: a bundle, run from its files, against the eager fp32 model's answers.

The bundle carries a few inputs with the eager model's outputs (`samples.safetensors`), so that the same check runs on
any machine, the device among them, without the original model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgekit.errors import EdgekitError
from edgekit.export.recipes import Recipe
from edgekit.models.metrics import Metric, Predict
from edgekit.models.model import Method, Model
from edgekit_runtime import Session
from edgekit_runtime.tensors import Array, MethodSpec

SAMPLES_FILE = "samples.safetensors"
#: At most this many samples per method, and fewer where they are large, but one at least.
MAX_SAMPLES, MAX_SAMPLE_BYTES = 8, 1 << 20
#: Sixteen steps of float32: what a chain of sums in another order may differ by, as a share of the magnitude.
ROUNDING = 16 * 2.0**-23


@dataclass(frozen=True)
class Sample:
    """One method's inputs and the eager fp32 model's outputs for them."""

    method: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class OutputError:
    """How far one output of one method is from the eager model's, over all samples.

    Attributes:
        max_abs: largest absolute difference.
        relative: the same as a share of the output's range, its largest value less its smallest.
        snr_db: variance of the expected values over the mean squared difference, in dB; None where the answers are
            equal. A constant in the output carries no signal.
        rounding: a difference that float32 makes by itself at the output's largest magnitude.
    """

    method: str
    output: str
    max_abs: float
    relative: float
    snr_db: float | None
    rounding: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "output": self.output,
            "max_abs": significant(self.max_abs),
            "relative": significant(self.relative),
            "snr_db": None if self.snr_db is None else significant(self.snr_db),
        }


def significant(value: float, digits: int = 6) -> float:
    """A float rounded to some significant digits, for files that people read."""
    return float(f"{value:.{digits}g}")


def eager_outputs(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[Array, ...]:
    """The outputs of a module as numpy arrays, nested containers flattened in order."""
    with torch.no_grad():
        leaves = tree_leaves(module(*inputs))
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise EdgekitError(f"{type(module).__name__} returns something that is not a tensor: return tensors only.")
    return tuple(leaf.detach().cpu().numpy() for leaf in leaves)


def make_samples(model: Model, methods: list[Method]) -> list[Sample]:
    """Verification inputs of every method with the eager model's outputs, in the order they are to be run in."""

    def count(method: Method) -> int:
        size = sum(spec.nbytes for spec in (*method.spec.inputs, *method.spec.outputs))
        return max(1, min(MAX_SAMPLES, MAX_SAMPLE_BYTES // max(size, 1)))

    samples = []
    for method, inputs in model.verification_calls(methods, count):
        outputs = eager_outputs(method.reference or model.reference, inputs)
        samples.append(Sample(method.spec.name, tuple(tensor.numpy() for tensor in inputs), outputs))
    return samples


def save_samples(samples: list[Sample], folder: Path) -> None:
    tensors = {
        # ascontiguousarray would make a scalar (1,)
        f"{index}.{sample.method}.{kind}.{position}": np.asarray(array, order="C")
        for index, sample in enumerate(samples)
        for kind, arrays in (("in", sample.inputs), ("out", sample.outputs))
        for position, array in enumerate(arrays)
    }
    save_file(tensors, folder / SAMPLES_FILE)


def load_samples(folder: Path, methods: Iterable[MethodSpec]) -> list[Sample]:
    """The samples that a bundle carries.

    Raises:
        EdgekitError: there are none, or they do not fit the bundle's methods.
    """
    path = folder / SAMPLES_FILE
    specs = {method.name: method for method in methods}
    try:
        tensors = load_file(path)
        keys = sorted({(int(index), name) for index, name in (key.split(".")[:2] for key in tensors)})
        return [
            Sample(
                name,
                tuple(tensors[f"{index}.{name}.in.{position}"] for position in range(len(specs[name].inputs))),
                tuple(tensors[f"{index}.{name}.out.{position}"] for position in range(len(specs[name].outputs))),
            )
            for index, name in keys
        ]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise EdgekitError(f"{path} holds no samples for this bundle: export it again.") from error


def measure(session: Session, samples: list[Sample]) -> list[OutputError]:
    """Runs every sample through a session, in order, and compares."""
    return compare(session.methods, session_predict(session), samples)


def compare(specs: Iterable[MethodSpec], predict: Predict, samples: list[Sample]) -> list[OutputError]:
    """Errors of every output of every method that has samples, which are run in order."""
    answers = [predict(sample.method, sample.inputs) for sample in samples]
    errors = []
    for method in specs:
        pairs = [pair for pair in zip(samples, answers, strict=True) if pair[0].method == method.name]
        if not pairs:
            continue
        for position, spec in enumerate(method.outputs):
            expected = [sample.outputs[position].astype(np.float64) for sample, _ in pairs]
            actual = [answer[position].astype(np.float64) for _, answer in pairs]
            errors.append(_compare(method.name, spec.name, expected, actual))
    return errors


def _compare(method: str, output: str, expected: list[Array], actual: list[Array]) -> OutputError:
    differences = [got - wanted for got, wanted in zip(actual, expected, strict=True)]
    if not all(np.isfinite(difference).all() for difference in differences):
        raise EdgekitError(
            f"method {method!r} gives values in {output!r} that are not finite where eager fp32 does not."
        )
    wanted = np.concatenate([values.ravel() for values in expected])
    difference = np.concatenate([values.ravel() for values in differences])
    if not difference.any():
        return OutputError(method, output, 0.0, 0.0, None, 0.0)
    max_abs, peak = float(np.abs(difference).max()), float(np.abs(wanted).max())
    # An output that never changes has no range: its size stands in.
    spread = float(np.ptp(wanted)) or peak or max_abs
    signal = float(np.var(wanted)) or float(np.square(wanted).mean())
    snr = 10 * math.log10(max(signal, 1e-300) / float(np.square(difference).mean()))
    return OutputError(method, output, max_abs, max_abs / spread, snr, ROUNDING * peak)


def gate_failures(
    errors: list[OutputError],
    recipe: Recipe,
    metric: Metric | None = None,
    found: float = math.nan,
    allowed: float = 0.0,
) -> list[str]:
    """Why the answers are not good enough, one sentence each; empty if they are.

    Args:
        errors: of all outputs.
        recipe: whose bounds hold.
        metric: the eager model's, where there is a task metric.
        found: the program's value.
        allowed: by how much that may be worse.
    """
    failures = []
    for error in errors:
        where = f"{error.method}/{error.output}"
        bound = recipe.max_relative_error
        if bound is not None and error.relative > bound and error.max_abs > error.rounding:
            failures.append(f"{where}: error {error.relative:.2g} of its range, allowed {bound:g}")
        if recipe.min_snr_db is not None and error.snr_db is not None and error.snr_db < recipe.min_snr_db:
            failures.append(f"{where}: signal-to-noise ratio {error.snr_db:.1f} dB, needed {recipe.min_snr_db:g} dB")
    if metric is not None and not metric.loss(found) <= allowed:
        side = "below" if metric.higher_is_better else "above"
        failures.append(
            f"{metric.name} {found:.5g}, at most {allowed:.2g} {side} the eager model's {metric.value:.5g} is allowed"
        )
    return failures


def session_predict(session: Session) -> Predict:
    """A session as a program, whose errors say what it takes outside the delegate."""

    def predict(name: str, inputs: tuple[Array, ...]) -> list[Array]:
        try:
            return session.run(*inputs, method=name)
        except EdgekitError as error:
            outside = ", ".join(session.manifest["programs"][0]["operators"]) or "none"
            # The folder is temporary: it says nothing to the user.
            reason = str(error).removesuffix(".").replace(f" of {session.path}", "")
            raise EdgekitError(
                f"{reason} (kernels outside the delegate: {outside}): rewrite the module without what they do not take."
            ) from error

    return predict


def verify_bundle(session: Session, recipe: Recipe) -> tuple[list[OutputError], list[str]]:
    """Runs a bundle's own samples: errors per output, and what misses the recipe's gate."""
    errors = measure(session, load_samples(session.path, session.methods))
    return errors, gate_failures(errors, recipe)
