"""`edgekit run` for anomaly detection: a series in; scores, alarms and ranked channels out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.bundle import Bundle
from edgekit.cli.run import RunRequest
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import replacing
from edgekit.report import print_json, print_table
from edgekit.sessions import open_session
from edgekit_runtime.detect_anomalies import AnomalyPipeline, Detection, Detector
from edgekit_runtime.series import Series, in_order, read_series

#: Alarms that the table shows; the others are in the output file and in --json.
SHOWN_ALARMS = 20
#: Channels that the table names per alarm.
SHOWN_CHANNELS = 5


def run(bundle: Bundle, request: RunRequest) -> None:
    """Scores one series; prints its alarms, writes every row on request."""
    request.take("inputs", "output", "picture", "threshold")
    request.need_inputs()
    inputs, output, picture = request.inputs, request.output, request.picture
    if len(inputs) != 1:
        raise UsageError("anomaly detection takes one --input series.")
    if output is not None and output.suffix not in (".csv", ".json"):
        raise UsageError(f"{output}: write a .csv or a .json file.")
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError(f"{picture} is not the name of a picture: let it end in .png.")
    settings = Detector.from_dict(bundle.manifest["pipeline"])
    series = in_order(read_series(inputs[0]), settings.channels, inputs[0])
    if len(series.values) < settings.window:
        raise EdgekitError(
            f"{inputs[0]} has {len(series.values)} rows, at least {settings.window} are needed for one score: "
            f"give a longer series."
        )
    pipeline = AnomalyPipeline(open_session(bundle))
    detector = _with_threshold(pipeline.detector, request.threshold)
    detection = replace_alarms(pipeline.detect(series.values), detector)
    alarms = find_alarms(detection, detector, series)

    if output is not None:
        _write_rows(output, detection, detector, series)
    if picture is not None:
        from edgekit.pictures import draw_detection

        draw_detection(detection, detector, picture, title=f"{inputs[0].name}, {bundle.name}", times=series.times)
    scored = int(np.isfinite(detection.scores).sum())
    if request.as_json:
        print_json(
            {
                "rows": len(series.values),
                "scored_rows": scored,
                "alarm_rows": int(detection.alarms.sum()),
                "threshold": detector.alarm_threshold,
                "alarms": alarms,
            }
        )
        return
    print(
        f"{scored} of {len(series.values)} rows scored (the first {detector.window - 1} fill the window), "
        f"{int(detection.alarms.sum())} above the threshold {detector.alarm_threshold:.4g} ({detector.threshold})."
    )
    strongest = sorted(alarms, key=lambda alarm: -alarm["peak_score"])[:SHOWN_ALARMS]
    if strongest:
        print(
            "Rows count from 1. Kind: systematic is a channel and its neighbours in the graph, sensor a channel alone."
        )
        print_table(
            ("rows", "peak score", "at row", "kind", "channels, largest share first"),
            [
                (
                    f"{alarm['first_row']}-{alarm['last_row']}",
                    f"{alarm['peak_score']:.4g}",
                    str(alarm["peak_time"] or alarm["peak_row"]),
                    alarm["diagnosis"],
                    ", ".join(alarm["channels"][:SHOWN_CHANNELS]),
                )
                for alarm in strongest
            ],
            right=(0, 1, 2),
        )
        if len(alarms) > len(strongest):
            print(f"{len(alarms)} alarms in all, the {len(strongest)} strongest are shown; --json has every one.")
    if output is not None or picture is not None:
        print(f"Written: {', '.join(str(path) for path in (output, picture) if path is not None)}")
    else:
        print(f"Next: edgekit run {bundle.path} --input {inputs[0]} --output scores.csv --picture scores.png")


def _with_threshold(detector: Detector, threshold: str | None) -> Detector:
    if threshold is None:
        return detector
    if threshold in detector.thresholds:
        return replace(detector, threshold=threshold)
    try:
        value = float(threshold)
    except ValueError as error:
        known = ", ".join(sorted(detector.thresholds))
        raise UsageError(f"--threshold {threshold!r} is neither a number nor one of {known}.") from error
    if not 0 < value < math.inf:
        raise UsageError(f"--threshold {threshold} must be finite and above 0: scores are sums of squares.")
    return replace(detector, thresholds={**detector.thresholds, "given": value}, threshold="given")


def replace_alarms(detection: Detection, detector: Detector) -> Detection:
    """The same scores, with alarms by the detector's threshold."""
    return replace(detection, alarms=detection.scores > detector.alarm_threshold)


def find_alarms(detection: Detection, detector: Detector, series: Series) -> list[dict[str, Any]]:
    """Runs of alarmed rows (1-based), in order, each with its peak and the channels ranked by their mean error."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], detection.alarms.astype(np.int8), [0]])))
    alarms = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        peak = start + int(np.argmax(detection.scores[start:stop]))
        ranked = detector.ranked(detection.errors[start:stop].mean(axis=0))
        alarms.append(
            {
                "first_row": start + 1,
                "last_row": stop,
                "peak_row": peak + 1,
                "peak_time": series.times[peak] if series.times else None,
                "peak_score": float(detection.scores[peak]),
                "diagnosis": detector.diagnosis(detection.errors[peak]),
                "channels": [series.channels[index] for index in ranked],
            }
        )
    return alarms


def _write_rows(path: Path, detection: Detection, detector: Detector, series: Series) -> None:
    """Every row: number (from 1), time if there is one, score, alarm, kind of fault, channels ranked by their error."""
    import csv

    rows = (_row(index, detection, detector, series) for index in range(len(detection.scores)))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
            return
        writer = csv.writer(file)
        time = ["time"] if series.times else []
        writer.writerow(["row", *time, "score", "alarm", "diagnosis", "ranked_channels"])
        for row in rows:
            score = "" if row["score"] is None else f"{row['score']:.6g}"
            time = [row["time"]] if series.times else []
            ranked = ";".join(row["ranked_channels"])
            writer.writerow([row["row"], *time, score, int(row["alarm"]), row["diagnosis"] or "", ranked])


def _row(index: int, detection: Detection, detector: Detector, series: Series) -> dict[str, Any]:
    score = float(detection.scores[index])
    errors = detection.errors[index]
    scored = bool(np.isfinite(score))
    return {
        "row": index + 1,
        **({"time": series.times[index]} if series.times else {}),
        "score": float(f"{score:.6g}") if scored else None,
        "alarm": bool(detection.alarms[index]),
        "diagnosis": detector.diagnosis(errors) if detection.alarms[index] else None,
        "ranked_channels": [series.channels[channel] for channel in detector.ranked(errors)] if scored else [],
    }
