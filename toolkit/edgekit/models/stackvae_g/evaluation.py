"""Detection metrics of a StackVAE-G on labelled data, beside an IsolationForest and random scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.model import Request
from edgekit.models.settings import Setting, refuse_settings
from edgekit.models.tasks import EvaluateRequest, Evaluation, ResultTable
from edgekit.pictures import draw_detection
from edgekit_runtime.detect_anomalies import AnomalyPipeline, Detection, Detector, FloatArray
from edgekit_runtime.series import in_order

from .checkpoint import load_checkpoint
from .data import Entity, load_entities
from .inference import eager_reconstruct
from .metrics import DetectionMetrics, evaluate_scores, f1_at, hit_rate, random_baseline
from .model import StackVAEGModel, match_entity
from .pictures import draw_graph
from .scoring import detect

COLUMNS = {
    "entity": "entity",
    "system": "system",
    "raw_f1": "F1",
    "adjusted_f1": "PA F1",
    "raw_f1_at_threshold": "F1 at thr.",
    "adjusted_f1_at_threshold": "PA F1 at thr.",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "hit_rate_100": "HitRate@100%",
    "hit_rate_150": "HitRate@150%",
}
NOTES = (
    "F1 and PA F1 (point-adjusted) at the best threshold on the test part (an oracle); 'at thr.' at the threshold "
    "fitted on the training scores (POT, risk 1e-3).",
    "Point-adjusting flatters: the random scores' PA F1 stands beside it. Means are over entities.",
    "The first window - 1 rows have no score and are left out for every system.",
)

SEGMENT_COLUMNS = {
    "entity": "entity",
    "rows": "rows",
    "alarm": "alarm",
    "labelled": "labelled channels",
    "ranked": "as many ranked first",
    "hit_rate_100": "HitRate@100%",
    "hit_rate_150": "HitRate@150%",
}

EAGER = "eager fp32"
FOREST = "IsolationForest"
RANDOM = "random scores"


def list_settings() -> list[Setting]:
    """None: what `--set` takes at evaluation."""
    return []


def evaluate(request: EvaluateRequest) -> Evaluation:
    """Every entity of the data with its checkpoint, or one bundle on its entity.

    Raises:
        UsageError: the data holds nothing that fits.
        EdgekitError: the data has no labels, or does not fit.
    """
    refuse_settings(request.settings, "stackvae-g", "evaluation")
    entities = load_entities(request.data)
    rows: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    jobs = list(_jobs(request, entities))
    request.progress.start("evaluate", len(jobs))
    for entity, checkpoint in jobs:
        request.progress.step(entity.name, 0)
        detector, detections = _detections(entity, checkpoint, request)
        rows += result_rows(entity, detector, detections, request.seed)
        segments += segment_rows(entity, detector, next(iter(detections.values())))
        request.progress.step(entity.name)
    request.progress.done()
    details = ResultTable(SEGMENT_COLUMNS, segments) if segments else None
    return Evaluation(ResultTable(COLUMNS, rows + _means(rows)), details, NOTES)


def _jobs(request: EvaluateRequest, entities: list[Entity]) -> Iterable[tuple[Entity, StackVAEGModel | None]]:
    """Pairs of an entity and its model; None where a bundle is evaluated."""
    if request.session is not None:
        trained_on = request.session.manifest["model"].get("trained_on")
        entity = next((entity for entity in entities if entity.name == trained_on), None)
        if entity is None and len(entities) == 1:
            entity = entities[0]
        if entity is None:
            raise UsageError(
                f"{request.data} holds {len(entities)} entities, none named {trained_on!r}: give one's file."
            )
        yield entity, None
        return
    if request.checkpoint is not None and request.checkpoint.is_dir():
        found = {path.stem: path for path in sorted(request.checkpoint.glob("*.safetensors"))}
        paired = [entity for entity in entities if entity.name in found]
        if not paired:
            raise UsageError(
                f"no checkpoint in {request.checkpoint} is named after an entity of {request.data} "
                f"({', '.join(entity.name for entity in entities[:3])}, ...)."
            )
        for entity in paired:
            yield entity, StackVAEGModel(load_checkpoint(found[entity.name]), entity, seed=request.seed)
        return
    from .model import load

    model = load(Request(checkpoint=request.checkpoint, seed=request.seed))
    entity = match_entity(entities, model.checkpoint, request.data)
    yield entity, StackVAEGModel(model.checkpoint, entity, seed=request.seed)


def _detections(
    entity: Entity, model: StackVAEGModel | None, request: EvaluateRequest
) -> tuple[Detector, dict[str, Detection]]:
    """What every system says of the entity's test part, the eager model or the given bundle first."""
    if entity.test is None or entity.labels is None:
        raise EdgekitError(
            f"{entity.name} in {request.data} has no labelled test part: give an .npz with arrays train, test and "
            f"label (1 where anomalous), or a folder with train.csv, test.csv and label.csv."
        )
    if model is None:
        assert request.session is not None
        pipeline = AnomalyPipeline(request.session)
        detector = pipeline.detector
        rows = in_order(entity.test, detector.channels, f"{entity.name}, test part").values
        detections = {f"bundle {request.session.manifest['recipe']}": pipeline.detect(rows)}
    else:
        detector = model.checkpoint.detector()
        rows = in_order(entity.test, detector.channels, f"{entity.name}, test part").values
        detections = {EAGER: detect(rows, detector, eager_reconstruct(model.reference))}
        for recipe, session in request.sessions(model).items():
            detections[f"bundle {recipe}"] = AnomalyPipeline(session).detect(rows)
    if request.pictures is not None:
        name, detection = next(iter(detections.items()))
        draw_detection(
            detection, detector, request.pictures / f"{entity.name}.png", entity.labels, f"{entity.name}, {name}"
        )
        if model is not None:
            draw_graph(model.checkpoint, request.pictures / f"{entity.name}.graph.png")
    return detector, detections


def result_rows(
    entity: Entity, detector: Detector, detections: Mapping[str, Detection], seed: int
) -> list[dict[str, Any]]:
    """One row of metrics per detection of the entity's labelled test part, then the two baselines'."""
    assert entity.labels is not None
    first = detector.window - 1
    labels = entity.labels[first:]
    results = []
    for name, detection in detections.items():
        metrics = evaluate_scores(detection.scores[first:], labels)
        results.append(
            _row(entity, name, metrics) | _at_threshold(detection, detector, labels) | _hits(detection, entity)
        )
    results.append(_row(entity, FOREST, evaluate_scores(_forest_scores(entity, seed)[first:], labels)))
    results.append(_row(entity, RANDOM, random_baseline(labels, seed)))
    return results


def segment_rows(entity: Entity, detector: Detector, detection: Detection) -> list[dict[str, Any]]:
    """Every interpreted segment: whether it raised an alarm, its labelled channels, and the highest-ranked ones."""
    rows = []
    for segment in entity.interpretation:
        errors = detection.errors[segment.start : segment.end + 1]
        scored = errors[np.isfinite(errors).all(axis=1)]
        if not len(scored):
            continue
        ranked = detector.ranked(scored.mean(axis=0))[: len(segment.channels)]
        rows.append(
            {
                "entity": entity.name,
                "rows": f"{segment.start + 1}-{segment.end + 1}",
                "alarm": "yes" if detection.alarms[segment.start : segment.end + 1].any() else "no",
                "labelled": ", ".join(str(channel + 1) for channel in sorted(segment.channels)),
                "ranked": ", ".join(str(channel + 1) for channel in ranked),
                "hit_rate_100": _number(hit_rate(detection.errors, [segment], 100)),
                "hit_rate_150": _number(hit_rate(detection.errors, [segment], 150)),
            }
        )
    return rows


def _row(entity: Entity, system: str, metrics: DetectionMetrics) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {
        "entity": entity.name,
        "system": system,
        "raw_f1": metrics.raw.f1,
        "adjusted_f1": metrics.adjusted.f1,
        "roc_auc": _number(metrics.roc_auc),
        "pr_auc": _number(metrics.pr_auc),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _at_threshold(detection: Detection, detector: Detector, labels: np.ndarray) -> dict[str, float]:
    scores = detection.scores[detector.window - 1 :]
    return {
        f"{kind}_f1_at_threshold": f1_at(scores, labels, detector.alarm_threshold, adjust).f1
        for kind, adjust in (("raw", False), ("adjusted", True))
    }


def _hits(detection: Detection, entity: Entity) -> dict[str, float | None]:
    if not entity.interpretation:
        return {}
    return {
        f"hit_rate_{percent}": _number(hit_rate(detection.errors, entity.interpretation, percent))
        for percent in (100, 150)
    }


def _forest_scores(entity: Entity, seed: int) -> FloatArray:
    """Scores (T,) of scikit-learn's IsolationForest on single rows, fitted on the training part; higher is stranger."""
    from sklearn.ensemble import IsolationForest

    assert entity.test is not None
    forest = IsolationForest(random_state=seed).fit(entity.train.values)
    return np.asarray(-forest.score_samples(entity.test.values), np.float32)


def _means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean over entities of every system, where there are several."""
    systems = list(dict.fromkeys(row["system"] for row in rows))
    count = len({row["entity"] for row in rows})
    if count < 2:
        return []
    means = []
    for system in systems:
        mine = [row for row in rows if row["system"] == system]
        mean: dict[str, Any] = {"entity": f"mean of {count}", "system": system}
        for key in list(COLUMNS)[2:]:
            values = [row[key] for row in mine if row[key] is not None]
            mean[key] = float(np.mean(values)) if values else None
        means.append(mean)
    return means
