"""What a bundle consists of, for its list of parts (SBOM) and of licences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from edgekit.bundle import RUNNER
from edgekit.export.native_files import LIBRARIES


@dataclass(frozen=True)
class Component:
    """Somebody's software, or weights.

    Attributes:
        name, version: as its makers call it; the version is None where what carries it does not say.
        license: an SPDX expression; None where it is not known.
        package: the Python package whose licence files are its own; None if there is none.
        purl: its address by package-url; None if it has none.
        files: of the bundle, that are nothing else.
        parts: components that are compiled into those files.
        origin: of weights, what is known of where they come from.
    """

    name: str
    version: str | None
    license: str | None
    package: str | None = None
    purl: str | None = None
    files: tuple[str, ...] = ()
    parts: tuple[Component, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)


#: What is compiled into edgekit's own libraries.
_IN_EDGEKIT = (
    Component("nlohmann/json", "3.11.2", "MIT"),
    Component("stb_image", "2.28", "MIT OR Unlicense"),
    Component("stb_image_write", "1.16", "MIT OR Unlicense"),
    Component("Monocypher", "4.0.3", "BSD-2-Clause OR CC0-1.0"),
    Component("libstdc++", None, "GPL-3.0-or-later WITH GCC-exception-3.1"),
)
#: What is compiled into ExecuTorch's, of whatever versions its makers chose.
_IN_EXECUTORCH = (
    Component("XNNPACK", None, "BSD-3-Clause"),
    Component("cpuinfo", None, "BSD-2-Clause"),
    Component("pthreadpool", None, "BSD-2-Clause"),
    Component("FXdiv", None, "MIT"),
    Component("FP16", None, "MIT"),
    Component("FlatBuffers", None, "Apache-2.0"),
    Component("Eigen", None, "MPL-2.0"),
)
#: What is compiled into LiteRT's; ONNX Runtime's own notices say what is in it.
_IN_LITERT = (*_IN_EXECUTORCH, Component("Abseil", None, "Apache-2.0"), Component("ruy", None, "Apache-2.0"))
#: Libraries that a bundle may carry by how their files' names begin: name, package, licence, what is inside.
_LIBRARIES = {
    "libexecutorch": ("ExecuTorch", "executorch", "BSD-3-Clause", _IN_EXECUTORCH),
    "libLiteRt": ("LiteRT", "ai-edge-litert", "Apache-2.0", _IN_LITERT),
    "libonnxruntime": ("ONNX Runtime", "onnxruntime", "MIT", ()),
}


def components_of(fields: Mapping[str, Any], files: Iterable[str]) -> list[Component]:
    """The components of a bundle.

    Args:
        fields: its manifest's.
        files: that it holds, by their paths in it.
    """
    libraries = sorted(name for name in files if name == RUNNER or name.startswith(f"{LIBRARIES}/"))
    found = [_weights(fields)]
    own = tuple(name for name in libraries if name == RUNNER or name.startswith(f"{LIBRARIES}/libedgekit"))
    if own:
        version = str(fields["tools"]["edgekit"])
        found.append(
            Component("edgekit-runtime", version, "Apache-2.0", "edgekit", files=own, parts=_IN_EDGEKIT)
        )  # its licence is edgekit's
    for prefix, (name, package, license, parts) in _LIBRARIES.items():
        theirs = tuple(one for one in libraries if one.startswith(f"{LIBRARIES}/{prefix}"))
        if theirs:
            version = metadata.version(package).partition("+")[0]
            purl = f"pkg:pypi/{package}@{version}"
            found.append(Component(name, version, license, package, purl, theirs, parts))
    return found


def _weights(fields: Mapping[str, Any]) -> Component:
    """The model: whose weights they are, nobody but who trained them knows."""
    model = fields["model"]
    origin = {
        name: str(model[name]) for name in ("checkpoint_sha256", "trained_on", "calibrated_on") if model.get(name)
    }
    programs = [str(program["file"]) for program in fields["programs"]]
    programs += [
        str(method["file"]) for program in fields["programs"] for method in program["methods"] if "file" in method
    ]
    name = str(model["name"]) if model.get("variant", "base") == "base" else f"{model['name']} {model['variant']}"
    return Component(name, None, None, files=tuple(dict.fromkeys(programs)), origin=origin)
