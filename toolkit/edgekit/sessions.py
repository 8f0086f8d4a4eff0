"""Sessions for the command line: what LiteRT says of itself while it loads stays off the terminal."""

from __future__ import annotations

from contextlib import suppress

from edgekit.bundle import Bundle
from edgekit.native_log import captured_stderr
from edgekit_runtime import EdgekitError, Session


def open_session(bundle: Bundle) -> Session:
    """A session of a bundle that was opened; of a `.tflite` its first method is loaded.

    Raises:
        EdgekitError: hashes, schema or operators do not fit.
    """
    if bundle.program.format != "tflite":
        return Session(bundle, public_key=bundle.public_key)
    # LiteRT tells once a process that it made its delegate.
    with captured_stderr():
        session = Session(bundle, public_key=bundle.public_key)
        with suppress(EdgekitError):  # the first run says it
            session.load(session.methods[0].name)
    return session
