"""From a model to a bundle: capture, quantize, lower, verify, pack."""

from edgekit.native_log import captured_stderr

# torchao announces on import which of its GPU extensions it could not load: nothing that a user here can act on. The
# runtime comes before ExecuTorch's Python package, so that the log of both goes its way.
with captured_stderr():
    import torchao  # noqa: F401

    import edgekit_runtime._native  # noqa: F401
