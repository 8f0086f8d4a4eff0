"""Runs edgekit's bundles, without torch.

    import edgekit_runtime
    session = edgekit_runtime.Session("bundles/rpcanet-s1-raspberry-pi-5-int8")
    (logits,) = session.run(image)  # numpy in, numpy out

Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit_runtime._native import set_cores as set_cores
    from edgekit_runtime._native import set_threads as set_threads
    from edgekit_runtime._native import threads as threads
    from edgekit_runtime.errors import EdgekitError as EdgekitError
    from edgekit_runtime.errors import UsageError as UsageError
    from edgekit_runtime.session import Session as Session

__version__ = "0.2.0"

_HOMES = {
    "EdgekitError": "edgekit_runtime.errors",
    "Session": "edgekit_runtime.session",
    "UsageError": "edgekit_runtime.errors",
    "set_cores": "edgekit_runtime._native",
    "set_threads": "edgekit_runtime._native",
    "threads": "edgekit_runtime._native",
}

__all__ = ["EdgekitError", "Session", "UsageError", "__version__", "set_cores", "set_threads", "threads"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgekit_runtime' has no attribute {name!r}")
