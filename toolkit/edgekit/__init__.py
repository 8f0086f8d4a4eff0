"""edgekit takes a trained model to a small machine.

    import edgekit
    bundle = edgekit.export_module(module, (torch.zeros(1, 3, 64, 64),), device="jetson", recipe="int8")
    answers = edgekit.Session(bundle.path).run(image)

Names are loaded when they are first used: `import edgekit` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.bundle import Bundle as Bundle
    from edgekit.errors import EdgekitError as EdgekitError
    from edgekit.errors import GateError as GateError
    from edgekit.errors import UsageError as UsageError
    from edgekit.export.module import export_module as export_module
    from edgekit_runtime import Session as Session

__version__ = "0.2.0"

_HOMES = {
    "Bundle": "edgekit.bundle",
    "EdgekitError": "edgekit.errors",
    "GateError": "edgekit.errors",
    "Session": "edgekit_runtime",
    "UsageError": "edgekit.errors",
    "export_module": "edgekit.export.module",
}

__all__ = ["Bundle", "EdgekitError", "GateError", "Session", "UsageError", "__version__", "export_module"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
