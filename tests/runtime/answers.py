"""Answers of a bundle of each kind through edgekit_runtime alone: `answers.py FILE ANOMALIES OBJECTS TEXT TENSORS`."""

from __future__ import annotations

import sys

import numpy as np

from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import Generation, TextGenerator
from edgekit_runtime.segment import SegmentPipeline


def main(file: str, anomalies: str, objects: str, text: str, tensors: str) -> None:
    draw = np.random.default_rng(0).random
    anomaly = AnomalyPipeline(Session(anomalies))
    detector, scaling = anomaly.detector, anomaly.detector.scaling
    rows = scaling.low + scaling.range * draw((2 * detector.window, len(detector.channels)), np.float32)
    segmenter = SegmentPipeline(Session(objects))
    image = draw(segmenter.sizes[0], np.float32)
    went = Generation()
    list(TextGenerator(Session(text)).generate("the red cat", 8, went=went))
    session = Session(tensors)
    inputs = [draw(spec.shape, np.float32) for spec in session.methods[0].inputs]
    found = segmenter.segment(image)
    np.savez(
        file,
        *session.run(*inputs),
        scores=anomaly.detect(rows).scores,
        logits=found.logits,
        peaks=[item.peak for item in found.objects],
        tokens=went.tokens,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
