"""Runs edgekit's bundles, without torch.

    import edgekit_runtime
    session = edgekit_runtime.Session("bundles/rpcanet-s1-raspberry-pi-5-int8")
    (logits,) = session.run(image)  # numpy in, numpy out
"""

from edgekit_runtime._native import set_cores, set_threads, threads
from edgekit_runtime._native import version as _version
from edgekit_runtime.errors import EdgekitError, UsageError
from edgekit_runtime.session import Session

__version__ = _version()

__all__ = ["EdgekitError", "Session", "UsageError", "__version__", "set_cores", "set_threads", "threads"]
