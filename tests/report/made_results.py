"""Results as `edgekit profile` and `edgekit sweep` write them, made up, with the shapes and sizes of the zoo's bundles.

    python -m tests.report.made_results FOLDER [--bundles 100]

writes FOLDER/results.jsonl: bundles of three models, measured on one machine and on a board, some under an emulator,
all estimated for two devices. A number of the same seed is always the same; none of them was measured.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPES = {"fp32": 1.0, "fp16": 0.9, "int8": 0.45, "int8-dynamic": 0.6, "int4": 0.7}
#: Bytes of a weight.
WIDTHS = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "int8-dynamic": 1.0, "int4": 0.56}
FORMATS = ("pte", "tflite", "onnx")
ROOFS = {"gflops": {"fp32": 118.4, "fp16": 96.0, "int8": 401.0}, "bandwidth_gb_per_s": 21.3, "source": "measured"}
PI = {
    "gflops": {"fp32": 76.8, "fp16": 153.6, "int8": 307.2},
    "bandwidth_gb_per_s": 17.0,
    "source": "profile raspberry-pi-5",
}
ARENA_PARTS = (
    *("runtime", "weights", "state", "delegate_packed_weights", "delegate_buffers", "inputs_outputs", "arena"),
    *("arena_idle", "operator_scratch", "delegate_workspace", "delegate_constants"),
)


@dataclass(frozen=True)
class Model:
    """A system of the zoo: what its bundles are about the size of.

    Attributes:
        cases: name, method, unit, items, milliseconds in fp32.
        layers: what one call computes: operator, kind, place, MFLOP, kB, operations inside (0: none).
    """

    name: str
    task: str
    variants: tuple[str, ...]
    parameters: int
    arena: int
    workspace: int
    state: int
    metric: dict[str, Any]
    cases: tuple[tuple[str, str, str, int, float], ...]
    layers: tuple[tuple[str, str, str, float, float, int], ...]
    repeats: int


MODELS = (
    Model(
        *("rpcanet", "segment", ("s1", "s3", "v1"), 493_597, 35_149_504, 25_165_984, 0),
        {
            "name": "IoU",
            "better": "higher",
            "eager": 0.596798,
            "data": "sirst, test part",
            "unit": "images",
            "samples": 16,
        },
        (("forward", "forward", "frame", 1, 80.0),),
        (
            ("edgekit::conv2d.out", "conv2d", "edgekit", 3040.0, 9000.0, 0),
            ("dim_order_ops::_to_dim_order_copy.out", "movement", "runtime", 0.0, 8400.0, 0),
            ("XnnpackBackend", "other", "delegate XnnpackBackend", 14.0, 4300.0, 3),
        ),
        9,
    ),
    Model(
        *("sea-opt", "generate_text", ("base", "opt-125m"), 3_400_000, 1_183_808, 663_712, 6_804_576),
        {
            "name": "perplexity",
            "better": "lower",
            "eager": 306.51,
            "data": "wikitext2, test part",
            "unit": "tokens",
            "samples": 256,
        },
        (("prompt", "prefill", "token", 128, 31.0), ("token", "step", "token", 1, 2.4)),
        (
            ("XnnpackBackend", "other", "delegate XnnpackBackend", 1.2, 620.0, 8),
            ("edgekit::sea_estimate.out", "sea_estimate", "edgekit", 0.4, 210.0, 0),
            ("edgekit::kv_append.out", "kv_append", "edgekit", 0.0, 4.0, 0),
            ("edgekit::sparse_topk_attention.out", "sparse_topk_attention", "edgekit", 0.3, 160.0, 0),
            ("aten::native_layer_norm.out", "normalization", "runtime", 0.01, 8.0, 0),
            ("executorch_prim::et_view.default", "movement", "runtime", 0.0, 0.0, 0),
        ),
        12,
    ),
    Model(
        *("stackvae-g", "detect_anomalies", ("machine-2-1", "pump", "press"), 43_000, 224, 38_048, 0),
        {
            "name": "ROC AUC",
            "better": "higher",
            "eager": 0.7658,
            "data": "smd, machine-2-1",
            "unit": "rows",
            "samples": 3901,
        },
        (("forward", "forward", "window", 8, 0.35),),
        (
            ("XnnpackBackend", "other", "delegate XnnpackBackend", 0.6, 190.0, 14),
            ("aten::squeeze_copy.dims_out", "movement", "runtime", 0.0, 1.0, 0),
        ),
        1,
    ),
)
INSIDE = (
    ("Convolution (NHWC, F32) IGEMM", "convolution"),
    ("Fully Connected (NC, QD8, F32, QC8W) GEMM", "linear"),
    ("Multiply (ND, F32)", "elementwise"),
    ("Convert (NC, F32, QD8)", "quantize"),
    ("Softmax (NC, F32)", "softmax"),
)


def made_results(bundles: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Results of so many bundles: measured and estimated, operators and memory with the measured ones."""
    results: list[dict[str, Any]] = []
    of_each = [_bundles(model) for model in MODELS]
    told = [bundle for group in itertools.zip_longest(*of_each) for bundle in group if bundle is not None]
    for number, (model, variant, recipe, form) in enumerate(told[:bundles]):
        results += _results(model, variant, recipe, form, number, random.Random(f"{seed} {number}"))
    return results


def _bundles(model: Model) -> Iterator[tuple[Model, str, str, str]]:
    for variant, form, recipe in itertools.product(model.variants, FORMATS, RECIPES):
        yield model, variant, recipe, form


def _results(
    model: Model, variant: str, recipe: str, form: str, number: int, chance: random.Random
) -> Iterator[dict[str, Any]]:
    name = f"{model.name}-{variant}-linux-x86_64-{recipe}{'' if form == 'pte' else f'-{form}'}"
    factor = RECIPES[recipe] * (1 + 0.6 * model.variants.index(variant)) * chance.uniform(0.9, 1.15)
    bundle = _bundle(model, variant, recipe, form, name, factor, chance)
    shared = {
        "schema": 1,
        "bundle": bundle,
        "versions": {"edgekit": "0.1.0", "executorch": "1.5.1", "torch": "2.13.0"},
        "date": f"2026-11-26T18:{number // 60:02}:{number % 60:02}+00:00",
    }
    yield {
        **shared,
        "target": {"kind": "local", "address": None, "emulated": False},
        **_run(model, factor, bundle, "Build server", "AMD EPYC 7B13", 2, chance, ROOFS, chance.random() < 0.03),
        "estimated": None,
        "arena": _arena(model, bundle) if form == "pte" else None,
        "command": f"edgekit profile bundles/{name} --operators --runs 50",
    }
    if number % 4 == 0:
        yield {
            **shared,
            "target": {"kind": "ssh", "address": "pi@board", "emulated": False},
            **_run(model, 1.9 * factor, bundle, "Raspberry Pi 5 Model B", "Cortex-A76", 4, chance, PI, False),
            "estimated": None,
            "arena": None,
            "command": f"edgekit profile bundles/{name} --target ssh://pi@board --operators --runs 50",
        }
    if number % 10 == 1:
        yield {
            **shared,
            "target": {"kind": "qemu", "address": None, "emulated": True},
            **_run(model, 14 * factor, bundle, "qemu-aarch64", "max", 2, chance, None, False),
            "operators": None,
            "estimated": None,
            "arena": None,
            "command": f"edgekit profile bundles/{name} --target qemu",
        }
    for device, slowness in (("raspberry-pi-5", 1.9), ("jetson-orin-nano", 1.2)):
        yield {
            **shared,
            "target": {"kind": "none", "address": None, "emulated": False},
            **dict.fromkeys(("machine", "settings", "measured", "operators", "arena", "roofline")),
            "estimated": _estimated(model, slowness * factor, device, chance),
            "command": f"edgekit profile bundles/{name} --target none --device {device}",
        }


def _bundle(
    model: Model, variant: str, recipe: str, form: str, name: str, factor: float, chance: random.Random
) -> dict[str, Any]:
    loss = {"fp32": 0.0, "fp16": 0.0008, "int8": 0.006, "int8-dynamic": 0.003, "int4": 0.011}[recipe]
    loss *= chance.uniform(0.5, 1.5)
    metric = {**model.metric, "max_drop": 0.005}
    metric["program"] = metric["eager"] * (1 - loss if metric["better"] == "higher" else 1 + loss)
    weights = int(model.parameters * WIDTHS[recipe])
    ours = "conv2d" in model.layers[0][0]
    parts = {
        "runtime": 8_627_024,
        "weights": weights,
        "delegate_packed_weights": weights // (110 if ours else 1),
        "delegate_buffers": 35_490,
        "inputs_outputs": 524_288 if ours else 15_352,
        "planned_arena": int(model.arena * (0.5 + factor / 2)),
        "operator_scratch": 11_257_856 if ours else 0,
        "delegate_workspace": 2 * model.workspace,
        "state": model.state,
    }
    at_peak = {part: size for part, size in parts.items() if size}
    known = {"at_peak": at_peak, "peak": sum(at_peak.values()), "peak_load": int(0.4 * sum(at_peak.values()))}
    memory = parts | {"threads": 2, "measured": ["runtime"]} | (known if form == "pte" else {})
    passed = loss < 0.012
    return {
        "name": name,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "model": model.name,
        "variant": variant,
        "device": "linux-x86_64",
        "recipe": recipe,
        "format": form,
        "kv": "fp16" if model.state and recipe in ("int8-dynamic", "int4") else "fp32" if model.state else None,
        "task": model.task,
        "bytes": 14_500_000 + weights,
        "memory": memory,
        "accuracy": {
            "gate": {"passed": passed, "failures": [] if passed else [f"{metric['name']} drops by {loss:.2%}"]},
            "metric": metric,
            "metrics": [{key: metric[key] for key in ("name", "better", "eager", "program")}],
            "outputs": [{"method": "forward", "output": "out", "max_abs": 0.01 + loss, "snr_db": 60 - 2000 * loss}],
        },
    }


def _run(
    model: Model,
    factor: float,
    bundle: dict[str, Any],
    title: str,
    cpu: str,
    cores: int,
    chance: random.Random,
    roofs: dict[str, Any] | None,
    throttled: bool,
) -> dict[str, Any]:
    cases, operators = [], {}
    for name, method, unit, items, base in model.cases:
        p50 = base * factor * chance.uniform(0.98, 1.02)
        times = sorted(p50 * chance.lognormvariate(0, 0.03) for _ in range(50))
        cases.append(
            {
                "name": name,
                "method": method,
                "rows": None,
                "items": items,
                "unit": unit,
                "first_ms": 1.9 * p50,
                "times_ms": times,
                "p50_ms": times[25],
                "p90_ms": times[45],
                "p99_ms": times[49],
            }
        )
        operators[name] = _operators(model, method, 1e3 * times[25], roofs or ROOFS, chance)
    peak = int((bundle["memory"].get("peak") or 60_000_000) * chance.uniform(0.97, 1.04))
    timeline = [
        {"at_ms": at, "label": label, "counted_bytes": int(share * peak), "resident_bytes": int(share * peak * 1.02)}
        for at, label, share in (
            (0.0, "started", 0.06),
            (1.2, "opened", 0.41),
            (13.6, "loaded forward", 0.48),
            (13.6 + 2 * cases[0]["p50_ms"], "first call", 1.0),
            (13.6 + 50 * cases[0]["p50_ms"], "ran", 0.98),
        )
    ]
    sample = {"temperature_c": {"cpu-thermal": 51.2}, "clock_mhz": {f"cpu{core}": 2400.0 for core in range(cores)}}
    return {
        "machine": {
            "title": title,
            "architecture": "aarch64" if "Cortex" in cpu or cpu == "max" else "x86_64",
            "cpu": cpu,
            "cores": cores,
            "memory_bytes": 8 << 30,
            "os": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "glibc": "2.36",
        },
        "settings": {"runs": 50, "warmup": 5, "threads": cores, "cpu_mask": None},
        "measured": {
            "runner": "0.1.0",
            "runs": 50,
            "warmup": 5,
            "threads": cores,
            "cpu_mask": None,
            "open_ms": 1.2,
            "load_ms": 13.6,
            "cases": cases,
            "peak_memory_bytes": peak,
            "memory": {},
            "memory_timeline": timeline,
            "telemetry": {"before": sample, "after": sample, "throttled": throttled},
            "power": {
                "rails": {"VDD_IN": {"mean_mw": 4100.0, "idle_mw": 2600.0}},
                "rail": "VDD_IN",
                "energy_mj_per_call": 1.5 * cases[0]["p50_ms"],
            }
            if "Pi" in title
            else None,
        },
        "operators": operators,
        "roofline": roofs,
    }


def _operators(
    model: Model, method: str, total_us: float, roofs: dict[str, Any], chance: random.Random
) -> list[dict[str, Any]]:
    """Rows of one call whose leaves take 98 % of it; delegates' calls are opened up."""
    calls = [layer for _ in range(model.repeats) for layer in model.layers]
    costs = [max(0.002, flops / 1000 + moved / 20_000) * chance.uniform(0.7, 1.4) for *_, flops, moved, _ in calls]
    scale = 0.98 * total_us / sum(costs)
    rows: list[dict[str, Any]] = []
    at = 0.0
    for index, ((name, kind, place, flops, moved, inside), cost) in enumerate(zip(calls, costs, strict=True)):
        outer = _row(
            len(rows), None, name, kind, place, method, index, cost * scale, total_us, 1e6 * flops, 1e3 * moved, at
        )
        rows.append(outer)
        shares = [chance.random() for _ in range(inside)]
        start = at
        for step, part in enumerate(shares):
            spent = cost * scale * 0.97 * part / sum(shares)
            what, sort = INSIDE[(index + step) % len(INSIDE)]
            rows.append(
                _row(
                    len(rows),
                    outer["id"],
                    what,
                    sort,
                    place,
                    method,
                    step,
                    spent,
                    total_us,
                    1e6 * flops * part / sum(shares),
                    1e3 * moved * part,
                    start,
                )
            )
            start += spent
        at += cost * scale
    for row in rows:
        seconds = 1e-6 * row["p50_us"]
        row["gflops"] = 1e-9 * row["flops"] / seconds if row["flops"] else None
        row["gb_per_s"] = 1e-9 * row["bytes"] / seconds if row["bytes"] else None
        ridge = roofs["gflops"]["fp32"] / roofs["bandwidth_gb_per_s"]
        row["bound"] = None if not row["bytes"] else "compute" if row["flops"] / row["bytes"] > ridge else "memory"
    return rows


def _row(
    number: int,
    parent: int | None,
    name: str,
    kind: str,
    place: str,
    method: str,
    index: int,
    spent: float,
    total: float,
    flops: float,
    moved: float,
    start: float,
) -> dict[str, Any]:
    return {
        "id": number,
        "parent": parent,
        "name": name,
        "kind": kind,
        "place": place,
        "method": method,
        "index": index,
        "calls": 1,
        "p50_us": spent,
        "share": spent / total,
        "flops": flops,
        "bytes": moved,
        "start_us": start,
    }


def _estimated(model: Model, factor: float, device: str, chance: random.Random) -> dict[str, Any]:
    cases = []
    for name, _, unit, items, base in model.cases:
        likely = base * factor * chance.uniform(0.85, 1.2)
        kinds = {layer[1]: likely / len(model.layers) for layer in model.layers}
        cases.append(
            {
                "name": name,
                "low_ms": 0.75 * likely,
                "p50_ms": likely,
                "high_ms": 1.4 * likely,
                "items": items,
                "unit": unit,
                "kinds": kinds,
            }
        )
    return {"device": device, "cases": cases, "calibration": "Efficiency per kind of operator measured on x86_64."}


def _arena(model: Model, bundle: dict[str, Any]) -> dict[str, Any]:
    parts = bundle["memory"]["at_peak"]
    held = [parts.get(part, 0) for part in ARENA_PARTS]
    arena, idle, scratch, work = (
        ARENA_PARTS.index(part) for part in ("arena", "arena_idle", "operator_scratch", "delegate_workspace")
    )
    steps = [("", "open", 0.0)] + [
        (method, "load XnnpackBackend", 0.0) for _, method, *_ in model.cases for _ in range(7)
    ]
    for _, method, *_ in model.cases:
        calls = [layer[0] for _ in range(model.repeats) for layer in model.layers]
        steps += [(method, call, 0.2 + 0.8 * ((7 * place) % 11) / 11) for place, call in enumerate(calls)]
    told = []
    for method, operator, live in steps:
        row = list(held)
        row[arena], row[idle] = (
            int(live * parts["planned_arena"]),
            parts["planned_arena"] - int(live * parts["planned_arena"]),
        )
        if live == 0.0:
            row[scratch] = row[work] = 0
        told.append({"method": method, "operator": operator, "bytes": row})
    return {"parts": list(ARENA_PARTS), "steps": told}


def write_results(folder: Path, bundles: int, seed: int = 0) -> Path:
    """Writes them to `folder`/results.jsonl, a line each."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.jsonl"
    path.write_text("".join(f"{json.dumps(result)}\n" for result in made_results(bundles, seed)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundles", type=int, default=100)
    arguments = parser.parse_args()
    path = write_results(arguments.folder, arguments.bundles)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
