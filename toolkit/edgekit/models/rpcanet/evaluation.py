"""Segmentation metrics of an RPCANet on labelled images, by the authors' protocol, and pictures of what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.errors import EdgekitError
from edgekit.models.model import Request
from edgekit.models.settings import Setting, refuse_settings
from edgekit.models.tasks import EvaluateRequest, Evaluation, ResultTable
from edgekit.pictures import draw_overlay
from edgekit.pipelines.segment_stages import measure_stages
from edgekit.stage_pictures import draw_measures, stage_sheet
from edgekit_runtime import Session
from edgekit_runtime.images import Gray, Mask, write_png
from edgekit_runtime.segment import Map, find_objects

from .data import Dataset, load_dataset
from .metrics import Scores, score_frames
from .model import RPCANetModel, load
from .module import RPCANet

COLUMNS = {
    "system": "system",
    "frame": "frame",
    "images": "images",
    "iou_percent": "IoU %",
    "f1_percent": "F1 %",
    "pd_percent": "Pd %",
    "fa_1e5": "Fa 1e-5",
}
STAGE_COLUMNS = {
    "stage": "stage",
    "energy_share": "energy of the largest singular value of B, share",
    "sparsity": "pixels with T > 0, share",
}
NOTES = (
    "Protocol of the authors: sigmoid, divided by the image's maximum, above 0.5; IoU and F1 over the pixels of all "
    "images together; Pd: objects touched by a positive pixel; Fa: positive pixels of the background over its pixels, "
    "in images with objects.",
    "IoU, F1 and Pd in percent, Fa in units of 1e-5, as in the paper's tables.",
)
EAGER = "eager fp32"
#: Test images that are drawn, and that the stages' measures are taken of.
DRAWN, MEASURED = 4, 16

#: Gives logits (B, 1, H, W) for images (B, 1, H, W).
Answer = Callable[[Map], Map]


def list_settings() -> list[Setting]:
    """None: what `--set` takes at evaluation."""
    return []


def evaluate(request: EvaluateRequest) -> Evaluation:
    """A model (eager, and bundles of it) or one bundle on the test part of the data.

    Raises:
        UsageError: the data has no pairs or no test part, or the variant does not ship.
        EdgekitError: the checkpoint or a picture does not fit, or no mask has an object.
    """
    refuse_settings(request.settings, "rpcanet", "evaluation")
    dataset = load_dataset(request.data)
    pairs = dataset.part("test")
    if request.session is not None:
        return _evaluate_bundle(request, request.session, dataset)
    model = load(Request(request.variant, request.checkpoint, request.data, seed=request.seed))
    sessions = request.sessions(model)
    request.progress.start("evaluate", (1 + len(sessions)) * len(pairs))
    size = model.frame_size
    module = model.checkpoint.module
    systems: dict[str, Answer] = {EAGER: eager_answer(module)}
    systems |= {f"bundle {recipe}": _session_answer(session) for recipe, session in sessions.items()}
    rows = []
    for name, answer in systems.items():
        request.progress.step(name, 0)
        rows.append(result_row(name, size, score_frames(_told(request, model.test_frames(size)), answer, 1)))
    details = None
    if request.pictures is not None:
        request.progress.step("pictures", 0)
        _draw_frames(request.pictures, dataset, size, systems[EAGER])
        details = _draw_stages(request.pictures, model, dataset)
    request.progress.done()
    return Evaluation(ResultTable(COLUMNS, rows), details, NOTES)


def eager_answer(module: RPCANet) -> Answer:
    """The trained module as a program."""

    def answer(images: Map) -> Map:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(images)).numpy())

    return answer


def result_row(system: str, size: tuple[int, int], scores: Scores) -> dict[str, Any]:
    """One line of the table of results."""
    return {
        "system": system,
        "frame": f"{size[0]}x{size[1]}",
        "images": scores.images,
        "iou_percent": 100 * scores.iou,
        "f1_percent": 100 * scores.f1,
        "pd_percent": 100 * scores.detected,
        "fa_1e5": 1e5 * scores.false_alarms,
    }


def _evaluate_bundle(request: EvaluateRequest, session: Session, dataset: Dataset) -> Evaluation:
    """One row per frame size that the bundle has, by the method of the smallest batch."""
    methods = {}
    for spec in sorted(session.methods, key=lambda spec: -spec.inputs[0].shape[0]):
        if len(spec.inputs[0].shape) != 4:
            raise EdgekitError(f"method {spec.name!r} of {session.path} takes no images: export it again.")
        methods[spec.inputs[0].shape[2:]] = spec
    pairs = dataset.part("test")
    request.progress.start("evaluate", len(methods) * len(pairs))
    rows = []
    for (height, width), spec in methods.items():
        size, batch = (height, width), spec.inputs[0].shape[0]
        answer = _session_answer(session, spec.name)
        frames = _told(request, (pair.load(size) for pair in pairs))
        name = f"bundle {session.manifest['recipe']}"
        rows.append(result_row(name, size, score_frames(frames, answer, batch)))
        if request.pictures is not None and batch == 1:
            _draw_frames(request.pictures, dataset, size, answer)
    request.progress.done()
    return Evaluation(ResultTable(COLUMNS, rows), None, NOTES)


def _session_answer(session: Session, method: str | None = None) -> Answer:
    return lambda images: session.run(images, method=method)[0]


def _told(request: EvaluateRequest, frames: Iterator[tuple[Gray, Mask]]) -> Iterator[tuple[Gray, Mask]]:
    """The same frames, each told to the progress display."""
    for frame in frames:
        yield frame
        request.progress.step("")


def _draw_frames(folder: Path, dataset: Dataset, size: tuple[int, int], answer: Answer) -> None:
    """Some test images with what was found and what is labelled."""
    for pair in _spread(list(dataset.part("test")), DRAWN):
        image, mask = pair.load(size)
        logits = answer(image[None, None])[0, 0]
        found = find_objects(logits, 0.0)
        write_png(draw_overlay(image, logits > 0, found, mask), folder / f"{pair.name}.overlay.png")


def _draw_stages(folder: Path, model: RPCANetModel, dataset: Dataset) -> ResultTable:
    """What every stage finds in some test images, and its measures over more of them."""
    size = model.frame_size
    module = model.checkpoint.module
    for pair in _spread(list(dataset.part("test")), DRAWN):
        write_png(stage_sheet(_decompose(module, pair.load(size)[0])), folder / f"{pair.name}.stages.png")
    chosen = _spread(list(dataset.part("test")), MEASURED)
    measures = measure_stages(
        [(stage[0], stage[1]) for stage in _decompose(module, pair.load(size)[0])] for pair in chosen
    )
    draw_measures(measures, folder / "stages.png", f"{model.name} {model.variant}, {len(chosen)} images")
    keys = list(STAGE_COLUMNS)
    return ResultTable(STAGE_COLUMNS, [{key: getattr(measure, key) for key in keys} for measure in measures])


def _decompose(module: RPCANet, image: Gray) -> list[tuple[Map, Map, Map]]:
    """Background, objects and restored image (H, W) of every stage."""
    with torch.no_grad():
        stages = module.decompose(torch.from_numpy(image)[None, None])
    return [
        (stage.background[0, 0].numpy(), stage.target[0, 0].numpy(), stage.restored[0, 0].numpy()) for stage in stages
    ]


def _spread(items: list[Any], count: int) -> list[Any]:
    """At most `count` of them, evenly spaced."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]
