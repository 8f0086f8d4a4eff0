"""`edgekit run` for segmentation: images in; masks, overlay pictures and lists of objects out."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.bundle import Bundle
from edgekit.cli.progress import display
from edgekit.cli.run import RunRequest
from edgekit.errors import UsageError, unknown_name
from edgekit.files import replacing, write_text
from edgekit.pictures import draw_overlay
from edgekit.report import print_json, print_table
from edgekit.sessions import open_session
from edgekit_runtime.images import Gray, read_gray, write_png
from edgekit_runtime.segment import FITS, Fit, Map, Segmentation, SegmentPipeline

#: Objects of one image that the table shows; the others are in the output file and in --json.
SHOWN_OBJECTS = 20
#: Columns of a list of objects as .csv.
CSV_COLUMNS = ("object", "row", "column", "top", "left", "bottom", "right", "area", "peak", "peak_row", "peak_column")


def run(bundle: Bundle, request: RunRequest) -> None:
    """Segments every image; prints their objects, writes what was asked for."""
    request.take("inputs", "output", "threshold", "picture", "size", "fit")
    request.need_inputs()
    fit, threshold = _fit(request.fit), _threshold(request.threshold)
    # Measures of whole images that are cut into tiles would take minutes.
    stages = _stage_names(bundle) if fit != "tile" else []
    outputs = {path: _outputs(path, request, bool(stages)) for path in request.inputs}
    _check_outputs(request, outputs)
    pipeline = SegmentPipeline(open_session(bundle), threshold)
    results: list[dict[str, Any]] = []
    with display(request.quiet) as progress:
        if len(request.inputs) > 1:
            progress.start("run", len(request.inputs))
        for path in request.inputs:
            image = read_gray(path)
            found = pipeline.segment(image, fit, request.size)
            result = _result(path, image, found)
            if stages:
                result["stages"] = _measures(found, stages)
            for kind, target in outputs[path].items():
                _write(kind, target, image, found, result, stages)
            results.append(result)
            progress.step(path.name)
        if len(request.inputs) > 1:
            progress.done()
    written = [str(target) for targets in outputs.values() for target in targets.values()]
    if request.as_json:
        print_json({"images": results, "written": written})
        return
    _print(results)
    if written:
        print(f"Written: {', '.join(written)}")
    again = f"edgekit run {bundle.path} --input {request.inputs[0]}"
    print(f"Next: {again} --output FOLDER" if not written else f"Next: edgekit inspect {bundle.path}")


def _fit(fit: str | None) -> Fit:
    for known in FITS:
        if fit in (known, None):
            return known
    raise unknown_name("fit", str(fit), FITS, "edgekit run --help")


def _threshold(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"--threshold {text!r} is not a number: objects are where the logit is above it.") from error
    if not math.isfinite(value):
        raise UsageError(f"--threshold {text} must be finite.")
    return value


def _stage_names(bundle: Bundle) -> list[tuple[str, str, str]]:
    """Output names of background, objects and restored image of every stage; empty if the bundle does not give them."""
    given = {spec.name for spec in bundle.program.methods[0].outputs}
    count = sum(name.startswith("background_") for name in given)
    # The last stage's objects are the logits, which have a name already.
    return [
        (f"background_{stage}", f"target_{stage}" if stage < count else "logits", f"restored_{stage}")
        for stage in range(1, count + 1)
    ]


def _outputs(path: Path, request: RunRequest, stages: bool) -> dict[str, Path]:
    """Files to write for one input, by what they hold."""
    outputs: dict[str, Path] = {}
    output = request.output
    if output is not None and (output.is_dir() or not output.suffix):
        kinds = {"mask": "png", "overlay": "png", "objects": "json", **({"stages": "png"} if stages else {})}
        outputs = {kind: output / f"{path.stem}.{kind}.{suffix}" for kind, suffix in kinds.items()}
    elif output is not None:
        outputs["mask" if output.suffix.lower() == ".png" else "objects"] = output
    if request.picture is not None:
        outputs["picture"] = request.picture
    return outputs


def _check_outputs(request: RunRequest, outputs: dict[Path, dict[str, Path]]) -> None:
    output, picture = request.output, request.picture
    single = output is not None and not output.is_dir() and bool(output.suffix)
    if output is not None and single and output.suffix.lower() not in (".png", ".json", ".csv"):
        raise UsageError(f"{output}: write a .png (the mask), a .json or .csv (the objects), or into a folder.")
    if output is not None and not single and output.is_file():
        raise UsageError(f"{output} is a file: give a folder, or a .png, .json or .csv file.")
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError(f"{picture} is not the name of a picture: let it end in .png.")
    if len(request.inputs) > 1 and (single or picture is not None):
        raise UsageError(f"{len(request.inputs)} images do not fit into one file: give --output a folder.")
    targets = [target for files in outputs.values() for target in files.values()]
    twice = next((target for index, target in enumerate(targets) if target in targets[:index]), None)
    if twice is not None:
        raise UsageError(f"{twice} would be written twice: run inputs of the same name one at a time.")
    for target in targets:
        request.check_free(target)


def _result(path: Path, image: Gray, found: Segmentation) -> dict[str, Any]:
    return {
        "input": str(path),
        "height": image.shape[0],
        "width": image.shape[1],
        "method": found.method,
        "object_pixels": int(found.mask.sum()),
        "objects": [item.to_dict() for item in found.objects],
    }


def _measures(found: Segmentation, stages: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """How low in rank each stage's background is, and how sparse its objects are."""
    from edgekit.pipelines.segment_stages import measure_stages

    maps = _stage_maps(found, stages)
    return [measure.to_dict() for measure in measure_stages([[(stage[0], stage[1]) for stage in maps]])]


def _stage_maps(found: Segmentation, stages: list[tuple[str, str, str]]) -> list[list[Map]]:
    return [[found.maps[name] for name in names] for names in stages]


def _write(
    kind: str,
    target: Path,
    image: Gray,
    found: Segmentation,
    result: dict[str, Any],
    stages: list[tuple[str, str, str]],
) -> None:
    if kind == "mask":
        write_png(found.mask.astype(np.uint8) * 255, target)
    elif kind in ("overlay", "picture"):
        write_png(draw_overlay(image, found.mask, found.objects), target)
    elif kind == "stages":
        from edgekit.stage_pictures import stage_sheet

        write_png(stage_sheet(_stage_maps(found, stages)), target)
    elif target.suffix.lower() == ".json":
        write_text(target, json.dumps(result, indent=2) + "\n")
    else:
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            for number, item in enumerate(found.objects, 1):
                centroid = [f"{value:.3f}" for value in item.centroid]
                writer.writerow([number, *centroid, *item.box, item.area, f"{item.peak:.6g}", *item.peak_at])


def _print(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        shown = result["objects"][:SHOWN_OBJECTS]
        for number, item in enumerate(shown, 1):
            (row, column), (top, left, bottom, right) = item["centroid"], item["box"]
            rows.append(
                (
                    Path(result["input"]).name,
                    str(number),
                    f"{row:.1f}",
                    f"{column:.1f}",
                    f"{top}-{bottom - 1}",
                    f"{left}-{right - 1}",
                    str(item["area"]),
                    f"{item['peak']:.2f}",
                )
            )
    if rows:
        headers = ("image", "object", "row", "column", "rows", "columns", "area", "peak logit")
        print_table(headers, rows, right=range(1, 8))
    for result in results:
        count = len(result["objects"])
        more = f", the {SHOWN_OBJECTS} with the highest peaks are shown" if count > SHOWN_OBJECTS else ""
        print(
            f"{result['input']}: {count} object{'' if count == 1 else 's'} in {result['object_pixels']} of "
            f"{result['height']}x{result['width']} pixels ({result['method']}){more}."
        )
        for stage in result.get("stages", ()):
            energy, share = 100 * stage["energy_share"], 100 * stage["sparsity"]
            print(
                f"  stage {stage['stage']}: the largest singular value of B has {energy:.2f} % of the energy, "
                f"T > 0 at {share:.3f} % of the pixels"
            )
