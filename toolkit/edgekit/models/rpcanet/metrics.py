"""How good object masks are: the authors' protocol, with its peculiarities.

An image's answer is normalised by its own maximum before it is cut at one half, so that the decision is not the same as
"logit above 0": an image in which nothing is certain still gives objects. IoU and F1 count the pixels of the whole data
set together. An object is found when any positive pixel touches it, and the false-alarm rate leaves out images without
objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from edgekit.errors import EdgekitError
from edgekit_runtime.images import Gray, Mask

#: Pixels that meet at a corner belong to one object.
EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)


@dataclass(frozen=True)
class Scores:
    """Scores of a data set; all but `false_alarms` are shares, better when higher.

    Attributes:
        iou: TP / (TP + FP + FN) over all pixels.
        f1: 2 TP / (2 TP + FP + FN) over all pixels.
        detected: Pd, objects touched by a positive pixel.
        false_alarms: Fa, positive pixels of the background over its pixels, in images that have objects.
        images: images seen.
        objects: objects in their masks.
    """

    iou: float
    f1: float
    detected: float
    false_alarms: float
    images: int
    objects: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def binarise(logits: npt.NDArray[np.float32]) -> Mask:
    """The objects of one image (H, W): sigmoid, over its maximum, above 0.5; none where the maximum is 0."""
    probability = special.expit(np.asarray(logits, np.float32))
    highest = probability.max()
    if not highest > 0:
        return np.zeros(logits.shape, np.bool_)
    return np.asarray(probability / highest > np.float32(0.5))


def score(answers: Iterable[tuple[npt.NDArray[np.float32], Mask]]) -> Scores:
    """Scores of pairs of logits (H, W) float32 and mask (H, W) bool, read once and one at a time.

    Raises:
        EdgekitError: logits that are not finite or of another size than the mask, or no mask with an object.
    """
    hits = false = missed = images = objects = found = background = background_hits = 0
    for logits, mask in answers:
        if logits.shape != mask.shape:
            raise EdgekitError(f"answers of {logits.shape} cannot be compared with a mask of {mask.shape}.")
        if not np.isfinite(logits).all():
            raise EdgekitError(f"the answer for image {images + 1} has values that are not finite.")
        positive = binarise(logits)
        images += 1
        hits += int((positive & mask).sum())
        wrong = int((positive & ~mask).sum())
        false += wrong
        missed += int((~positive & mask).sum())
        labels, count = ndimage.label(mask, EIGHT_CONNECTED)
        if count:
            objects += count
            found += len(np.unique(labels[positive & mask]))
            background += int((~mask).sum())
            background_hits += wrong
    if not objects:
        raise EdgekitError(f"none of {images} masks has an object: there is nothing to measure.")
    return Scores(
        iou=hits / (hits + false + missed),
        f1=2 * hits / (2 * hits + false + missed),
        detected=found / objects,
        false_alarms=background_hits / max(background, 1),
        images=images,
        objects=objects,
    )


def score_frames(
    frames: Iterable[tuple[Gray, Mask]],
    answer: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    batch: int,
) -> Scores:
    """Scores of a program on frames (H, W) with their masks, read once and a batch at a time.

    Args:
        frames: images and masks of one size.
        answer: gives logits (B, 1, H, W) float32 for images of that shape.
        batch: B; a last block that is too small is filled up, and the surplus dropped.

    Raises:
        EdgekitError: as `score`.
    """
    masks: deque[Mask] = deque()

    def images() -> Iterator[Gray]:
        for image, mask in frames:
            masks.append(mask)
            yield image

    def answers() -> Iterator[tuple[npt.NDArray[np.float32], Mask]]:
        for block in blocks(images(), batch):
            filled = np.stack([*block, *[block[-1]] * (batch - len(block))])
            for logits in answer(filled[:, None])[: len(block), 0]:
                yield logits, masks.popleft()

    return score(answers())


def blocks(images: Iterable[Gray], size: int) -> Iterator[list[Gray]]:
    """Lists of `size` images; the last may be shorter."""
    remaining = iter(images)
    while block := list(islice(remaining, size)):
        yield block
