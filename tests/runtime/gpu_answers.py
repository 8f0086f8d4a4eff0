"""What a session gives where operators go to a GPU: `gpu_answers.py CASE BUNDLE FILE`, in a process of its own.

A case is a function of the bundle's folder; FILE gets what it returns, an .npz.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit_runtime import EdgekitError, Session

TOKENS = np.random.default_rng(0).integers(0, 300, 70)
CHUNK = 16


class Text:
    """A text that goes on, from its beginning."""

    def __init__(self, bundle: str) -> None:
        self.session = Session(bundle)
        self.position = 0

    def extend(self, count: int) -> np.ndarray:
        """Logits after the next tokens."""
        tokens = TOKENS[self.position : self.position + count]
        inputs = (tokens, np.array(self.position), np.array([count - 1]))
        (logits,) = self.session.run(*inputs, method="extend")
        self.position += count
        return logits[0].copy()

    def all(self) -> list[np.ndarray]:
        """Logits of two chunks, and of every token of some after them."""
        return [self.extend(CHUNK), self.extend(CHUNK), *(self.extend(1) for _ in range(12))]


def counts(session: Session) -> np.ndarray:
    """Kernels of kv_append, sea_estimate and sparse_topk_attention, hand-overs, bytes to the GPU and back."""
    gpu = session.gpu
    launches = [gpu.launches[name] for name in ("kv_append", "sea_estimate", "sparse_topk_attention")]
    return np.array([*launches, gpu.hand_overs, gpu.bytes_to_gpu, gpu.bytes_to_cpu])


def is_open() -> bool:
    """Whether the driver is in this process."""
    return "libcuda" in Path("/proc/self/maps").read_text()


def text(bundle: str) -> dict[str, Any]:
    """A text, and what its last token and the 20 before it cost."""
    one = Text(bundle)
    logits = one.all()
    before = counts(one.session)
    logits += [one.extend(1) for _ in range(20)]
    spent = counts(one.session) - before
    logits.append(one.extend(1))
    return {"logits": logits, "spent": spent, "name": str(one.session.gpu.name), "open": is_open()}


def states(bundle: str) -> dict[str, Any]:
    """One text, put aside in each way that there is, and gone on with."""
    one = Text(bundle)
    logits = [one.extend(CHUNK), one.extend(1)]
    saved, position = one.session.save_state(), one.position
    logits += [one.extend(1), one.extend(1)]
    one.session.use_state("other")
    one.position = 0
    logits += [one.extend(5), one.extend(1)]
    one.session.use_state("default")
    one.position = position + 2
    logits.append(one.extend(1))
    one.session.restore_state(saved)
    one.position = position
    logits += [one.extend(1), one.extend(3)]
    one.session.reset_state()
    one.position = 0
    logits += [one.extend(2), one.extend(1)]
    one.session.run(method="reset")
    one.position = 0
    logits += [one.extend(2), one.extend(1)]
    return {"logits": logits}


def failure(bundle: str) -> dict[str, Any]:
    """A text until the GPU fails, what is said then, and the text again."""
    one, said = Text(bundle), []
    try:
        one.all()
    except EdgekitError as error:
        said.append(str(error))
    for call in (lambda: one.extend(1), one.session.save_state):
        try:
            call()
        except EdgekitError as error:
            said.append(str(error))
    used = one.session.gpu.name
    one.session.reset_state()
    one.position = 0
    return {"said": said, "used": str(used), "reason": str(one.session.gpu.reason), "logits": one.all()}


def threads(bundle: str) -> dict[str, Any]:
    """The same text in two threads."""
    found: list[list[np.ndarray]] = [[], []]

    def write(place: int) -> None:
        found[place] = Text(bundle).all()

    working = [threading.Thread(target=write, args=(place,)) for place in range(2)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return {"logits": found[0], "others": found[1]}


def main(case: str, bundle: str, file: str) -> None:
    cases: dict[str, Callable[[str], dict[str, Any]]] = {
        "text": text,
        "states": states,
        "failure": failure,
        "threads": threads,
    }
    np.savez(file, **cases[case](bundle))


if __name__ == "__main__":
    main(*sys.argv[1:])
