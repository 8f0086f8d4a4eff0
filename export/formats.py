"""Which formats a program can be written in, and what each needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgekit.devices.profile import FORMATS, DeviceProfile
from edgekit.errors import UsageError, unknown_name
from edgekit.export.recipes import Recipe
from edgekit.models.model import StateForm

Operators = Literal["edgekit", "builtin"]
#: What must run a `.tflite` program: the LiteRT of edgekit's own session, or an interpreter of before it.
Interpreter = Literal["litert", "tflite-runtime-2.14"]

#: tflite-runtime's last release.
OLD_INTERPRETER: Interpreter = "tflite-runtime-2.14"
#: By format, the packages that write it where an extra brings them.
_PACKAGES = {
    "pte": (),
    "tflite": ("litert_torch", "ai_edge_quantizer", "ai_edge_litert"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


@dataclass(frozen=True)
class ProgramFormat:
    """How a program is written.

    Attributes:
        name: "pte" (ExecuTorch), "tflite" (LiteRT) or "onnx".
        operators: whether the program may call edgekit's operators; in `.onnx` it never does.
        interpreter: the oldest that must run a `.tflite`.
    """

    name: str = "pte"
    operators: Operators = "edgekit"
    interpreter: Interpreter = "litert"

    @property
    def label(self) -> str:
        """What it adds to a bundle's name: "", "-tflite", "-tflite-builtin", "-onnx"."""
        if self.name == "pte":
            return ""
        return f"-{self.name}{'-builtin' if self.name == 'tflite' and self.operators == 'builtin' else ''}"

    @property
    def state_form(self) -> StateForm:
        """Where a model's state is."""
        if self.name == "pte":
            return "buffers"
        return "tensors" if self.name == "tflite" and self.operators == "edgekit" else "standard"


#: ExecuTorch's, with edgekit's operators.
PTE = ProgramFormat()


def find_format(name: str, operators: Operators = "edgekit", interpreter: Interpreter = "litert") -> ProgramFormat:
    """The format of that name, with options that are for `.tflite` alone.

    Raises:
        UsageError: unknown, or the options do not go with it.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, list(FORMATS), "edgekit list devices")
    if name == "pte" and operators == "builtin":
        raise UsageError("--operators builtin is for --format tflite: ExecuTorch has no such operators; leave it out.")
    if name != "tflite" and interpreter != "litert":
        raise UsageError("--interpreter is for --format tflite: leave it out.")
    return ProgramFormat(name, "builtin" if name == "onnx" else operators, interpreter)


def check_format(found: ProgramFormat, device: DeviceProfile) -> None:
    """Refuses a format that the device does not take, or whose tools are not installed.

    Raises:
        UsageError: with what to install, or which formats there are.
    """
    if found.name not in device.formats:
        raise UsageError(f"{device.name} takes {', '.join(device.formats)}, not {found.name}: choose another --format.")
    if lacking := missing_packages(found.name):
        raise UsageError(
            f"--format {found.name} needs {', '.join(lacking)}: pip install 'edgekit[{found.name}]' "
            f"(from a checkout: pip install '.[{found.name}]')."
        )


def refused(form: ProgramFormat, recipe: Recipe) -> str | None:
    """Why a format refuses a recipe, the rest of a sentence that begins "onnx refuses int4: "; None if it does."""
    if form.name == "onnx":
        from edgekit.export import onnx

        return onnx.refused(recipe)
    if form.interpreter == OLD_INTERPRETER and recipe.activations == "int8 dynamic":
        return (
            f"{form.interpreter} computes linear layers with int8 activations by their range wrong, without a word "
            f"(leave --interpreter out)"
        )
    return None


def check_recipe(form: ProgramFormat, recipe: Recipe) -> None:
    """Refuses a recipe that a format does not take.

    Raises:
        UsageError: with the reason.
    """
    if (reason := refused(form, recipe)) is not None:
        raise UsageError(f".{form.name} refuses {recipe.name}: {reason}; choose another with --recipe.")


def missing_packages(name: str) -> list[str]:
    """The packages that write a format and are not installed, by their modules' names."""
    return [package for package in _PACKAGES[name] if importlib.util.find_spec(package) is None]


def default_format(device: DeviceProfile, task: str, say: Callable[[str], None] = lambda line: None) -> str:
    """The format for a task where the user names none: the device's for it, or its first where the tools of that are
    not installed; `say` is told then."""
    preferred = device.format_for(task)
    if not missing_packages(preferred):
        return preferred
    say(
        f"{task} as .{device.formats[0]}: {device.name} runs it best as .{preferred}, which needs pip install "
        f"'edgekit[{preferred}]' (from a checkout: pip install '.[{preferred}]')."
    )
    return device.formats[0]
