"""Tables and numbers for people; JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.bundle import Bundle

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.export.budget import Attempt
    from edgekit.export.sensitivity import Sensitivity
    from edgekit.models.tasks import Evaluation


#: Columns of a table where stdout is no terminal: of one whose last columns may move below it, and of others.
FILE_WIDTH, WIDE_FILE_WIDTH = 128, 200
GENERATED_HINT = "; for your own data give --data (calibration= in Python)"


def bytes_text(count: int) -> str:
    """ "146.7 kB" (powers of 1000)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), trailing: int = 0
) -> None:
    """A table on stdout; where that is no terminal, as wide as its content, so that nothing is cut in a file.

    Args:
        headers: one per column.
        rows: one cell per column.
        right: columns of numbers.
        trailing: so many of the last columns move into a line below the table each, which is never broken, where the
            terminal is too narrow or a file's line would be longer than `FILE_WIDTH`.
    """
    from rich.console import Console

    wide = FILE_WIDTH if trailing else WIDE_FILE_WIDTH
    console = Console(width=None if sys.stdout.isatty() else wide, highlight=False, markup=False, soft_wrap=False)
    cells, numbers = [list(row) for row in rows], set(right)
    table = _table(headers, cells, numbers)
    natural = console.measure(table, options=console.options.update_width(1000)).maximum
    if not trailing or natural <= console.width:
        console.print(table)
        return
    console.print(_table(headers[:-trailing], [row[:-trailing] for row in cells], numbers))
    for row in cells:
        for header, cell in zip(headers[-trailing:], row[-trailing:], strict=True):
            console.print(f"{row[0]}, {header}: {cell}", soft_wrap=True)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        # The first column is what one copies into the next command.
        table.add_column(header, justify="right" if index in numbers else "left", overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*row)
    return table


def worst_outputs(accuracy: Mapping[str, Any]) -> tuple[str, str]:
    """The largest absolute error and the lowest signal-to-noise ratio over all outputs, as text."""
    outputs = accuracy["outputs"]
    error = max(output["max_abs"] for output in outputs)
    ratios = [output["snr_db"] for output in outputs if output["snr_db"] is not None]
    return f"{error:.2g}", snr_text(min(ratios, default=None))


def metric_text(metric: Mapping[str, Any] | None) -> str:
    """One metric of a manifest's `accuracy`: "IoU 0.6043 (eager 0.6033)"."""
    if metric is None:
        return "none"
    return f"{metric['name']} {metric_value(metric['program'])} (eager {metric_value(metric['eager'])})"


def metric_value(value: float) -> str:
    """Five digits and no more: "0.6043", "1.26e-05", "306.71"."""
    return f"{value:.4f}" if 0.01 <= abs(value) < 10 or value == 0 else f"{value:.5g}"


def metrics_text(accuracy: Mapping[str, Any]) -> str:
    """All task metrics of a manifest's `accuracy`, the gate's first."""
    return ", ".join(map(metric_text, accuracy["metrics"])) or "none"


def metric_rows(accuracy: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """A line per task metric: name, eager, program, and what the gate asks of it."""
    rows = []
    for metric in accuracy["metrics"]:
        gated = accuracy["metric"] if metric["name"] == accuracy["metric"]["name"] else None
        side = "below" if metric["better"] == "higher" else "above"
        bound = f"at most {gated['max_drop']:.3g} {side}" if gated else ""
        rows.append((metric["name"], metric_value(metric["eager"]), metric_value(metric["program"]), bound))
    return rows


def print_accuracy(accuracy: Mapping[str, Any], system: str = "program", gate: str = "Accuracy gate at export") -> None:
    """Task metrics of a manifest's `accuracy`, what they were measured on, and the gate's verdict.

    Args:
        accuracy: also of a model that was measured in torch.
        system: what stands beside the eager model.
        gate: which one it is.
    """
    metric = accuracy["metric"]
    if metric is None:
        print("Task metrics: none.")
    else:
        print_table(("task metric", "eager fp32", system, "gate"), metric_rows(accuracy), right=(1, 2))
        print(f"Measured on: {evaluated_on(metric)}.")
    print(f"{gate}: {gate_text(accuracy)}.")


def print_outputs(accuracy: Mapping[str, Any]) -> None:
    """Errors of every output of a manifest's `accuracy`."""
    rows = [
        (f"{output['method']}/{output['output']}", f"{output['max_abs']:.3g}", snr_text(output["snr_db"]))
        for output in accuracy["outputs"]
    ]
    print_table(("output", "max error", "SNR"), rows, right=(1, 2))


def print_differences(differences: Sequence[Mapping[str, Any]]) -> None:
    """What bundles of one model say against each other and against eager fp32: each output's largest difference."""
    rows = [
        (
            one["first"],
            one["second"],
            f"{one['method']}/{one['output']}",
            f"{one['max_abs']:.3g}",
            f"{one['relative']:.2g}",
            snr_text(one["snr_db"]),
        )
        for one in differences
    ]
    print_table(("one", "the other", "output", "max difference", "of the range", "SNR"), rows, right=(3, 4, 5))


def snr_text(ratio: float | None) -> str:
    return "exact" if ratio is None else f"{ratio:.1f} dB"


def print_sensitivity(costs: Sensitivity) -> None:
    """What each block costs, the dearest first, and everything together."""
    rows = []
    for cost in (costs.whole, *costs.blocks):
        loss = [] if cost.loss is None else [f"{cost.loss:+.5f}" if abs(cost.loss) < 1 else f"{cost.loss:+.3f}"]
        name = "all together" if cost is costs.whole else cost.block
        rows.append((name, f"{cost.parameters:,}", *loss, snr_text(cost.snr_db)))
    loss_column = [] if costs.metric is None else [f"{costs.metric} worse by"]
    print_table((f"in {costs.recipe}", "parameters", *loss_column, "SNR"), rows, right=(1, 2, 3))
    if costs.metric is not None and costs.eager is not None:
        eager = f"{costs.metric} {metric_value(costs.eager)} in eager fp32, {costs.better} is better"
        print(f"{eager}; measured on: {evaluated_on(costs.to_dict())}.")


def evaluated_on(metric: Mapping[str, Any]) -> str:
    """ "sirst, test part, 16 images"."""
    return f"{metric['data']}, {metric['samples']:,} {metric['unit']}"


def gate_text(accuracy: Mapping[str, Any]) -> str:
    gate = accuracy["gate"]
    return "met" if gate["passed"] else f"missed ({'; '.join(gate['failures'])})"


def fast_share(counts: Iterable[Mapping[str, Any]]) -> float | None:
    """Share of methods' multiply-accumulates that fast kernels take, a delegate's or edgekit's own, in [0, 1].

    Args:
        counts: of the methods, from the manifest's `delegation`; None where there are none, as in formats whose runtime
            divides the graph by itself.
    """
    counts = list(counts)
    if not counts:
        return None
    total = sum(count["macs"] for count in counts)
    slow = sum(sum(count["undelegated_macs"].values()) for count in counts)
    return 1 - slow / total if total else 1.0


def bundle_row(bundle: Bundle) -> dict[str, Any]:
    """What the table of bundles says of one, as plain values."""
    manifest = bundle.manifest
    memory = manifest["memory"]
    return {
        "model": manifest["model"]["name"],
        "variant": manifest["model"]["variant"],
        "device": manifest["device"],
        "recipe": manifest["recipe"],
        "bytes": bundle.size,
        "memory": memory,
        "accuracy": manifest["accuracy"],
        "format": manifest["programs"][0]["format"],
        "fast_share": fast_share(manifest["programs"][0].get("delegation", {}).values()),
        "gpu": manifest.get("gpu"),
        "path": str(bundle.path),
    }


def part_bytes(memory: Mapping[str, Any], part: str) -> str:
    """A part of a manifest's memory, or that it is not known."""
    return bytes_text(memory[part]) if memory.get(part) is not None else "unknown"


def share_text(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f} %"


def print_bundles(bundles: Sequence[Bundle], estimates: Sequence[Mapping[str, Any] | None] = ()) -> None:
    """The table of bundles, what they were calibrated on and where their task metrics were measured.

    Args:
        bundles: one a line.
        estimates: of each, as a result has it, or None; nothing is said of times where there are none.
    """
    rows = []
    has_state = any(bundle.manifest["memory"].get("state") for bundle in bundles)
    known = any(one is not None for one in estimates)
    for bundle, one in zip(bundles, estimates or [None] * len(bundles), strict=True):
        row = bundle_row(bundle)
        state = row["memory"].get("state")
        error, ratio = worst_outputs(row["accuracy"])
        rows.append(
            (
                row["model"],
                row["recipe"],
                row["format"],
                bytes_text(row["bytes"]),
                bytes_text(row["memory"]["weights"]),
                part_bytes(row["memory"], "peak"),
                part_bytes(row["memory"], "planned_arena"),
                *([bytes_text(state) if state else ""] if has_state else []),
                share_text(row["fast_share"]),
                error,
                ratio,
                *([estimate_text(one)] if known else []),
                metrics_text(row["accuracy"]),
                row["path"],
            )
        )
    headers = (
        "model",
        "recipe",
        "format",
        "size",
        "weights",
        "peak",
        "arena",
        *(["state"] if has_state else []),
        "fast MACs",
        "max error",
        "SNR",
        *(["p50, estimated"] if known else []),
        "task metrics",
        "bundle",
    )
    print_table(headers, rows, right=range(3, 11 if has_state else 10), trailing=3 if known else 2)
    if known:
        for text in dict.fromkeys(one["calibration"] for one in estimates if one is not None):
            print(f"Times are estimated, not measured: {text}.")
    if bundles:
        print_calibration(bundles)
        metrics = [bundle.manifest["accuracy"]["metric"] for bundle in bundles]
        if places := sorted({evaluated_on(metric) for metric in metrics if metric}):
            print(f"Task metrics measured on: {'; '.join(places)}.")


def print_attempts(attempts: Sequence[Attempt], budget: int) -> None:
    """What was tried for a memory budget: those whose memory is known as a table, the others as a number."""
    rows = []
    skipped = 0
    for attempt in attempts:
        if attempt.verdict == "too large" and attempt.largest is None:
            skipped += 1
            continue
        part, size = attempt.largest or ("", 0)
        rows.append(
            (
                attempt.text,
                "" if attempt.peak is None else bytes_text(attempt.peak),
                f"{part.replace('_', ' ')}, {bytes_text(size)}" if part else "",
                attempt.verdict,
                attempt.detail,
            )
        )
    headers = ("tried", "peak, predicted", f"largest part (budget {bytes_text(budget)})", "verdict", "")
    detailed = any(row[-1] for row in rows)
    print_table(headers if detailed else headers[:-1], [row if detailed else row[:-1] for row in rows], right=(1,))
    if skipped:
        print(f"{skipped} more were not tried: what they share with one of these is too large already.")


def print_sweep(
    records: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], markdown: bool = False
) -> None:
    """The table of a sweep, a line for each bundle and target, and a sentence for each that failed somewhere.

    Args:
        records: as `edgekit.devices.sweep` gives them.
        results: of its folder, `edgekit.devices.results`.
        markdown: for a document.
    """
    several = len({record["job"]["device"] for record in records}) > 1
    targets = {result["target"]["kind"] for result in results if result["measured"]}
    headers = [
        "model",
        *(["device"] if several else []),
        "format",
        "recipe",
        "size",
        "peak, predicted",
        *(["target"] if len(targets) > 1 else []),
        "measured",
        "p50",
        "p50, estimated",
        "max error",
        "of the range",
        "SNR",
        "task metric",
        "gate",
    ]
    rows = []
    for record in records:
        name = None if record["bundle"] is None else Path(record["bundle"]["path"]).name
        mine = [result for result in results if result["bundle"]["name"] == name]
        estimated = next((result["estimated"] for result in mine if result["estimated"]), None)
        measured: list[Mapping[str, Any] | None] = [result for result in mine if result["measured"]]
        rows += [_sweep_row(record, result, estimated, headers) for result in measured or [None]]
    numbers = range(headers.index("size"), headers.index("SNR") + 1)
    (_print_markdown if markdown else print_table)(headers, rows, [n for n in numbers if headers[n] != "target"])
    for record in records:
        name = record["job"]["name"]
        problems = [record["error"]] if record["error"] else []
        problems += [f"not measured on {target}: {text}" for target, text in record["failures"].items()]
        for text in problems:
            print(f"{'- ' if markdown else ''}{name}: {text.rstrip('.')}.")


def _sweep_row(
    record: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    estimated: Mapping[str, Any] | None,
    headers: Sequence[str],
) -> list[str]:
    job, bundle = record["job"], record["bundle"]
    cells = {
        "model": job["model"],
        "device": job["device"],
        "format": job["format"],
        "recipe": job["recipe"] if job["kv"] is None else f"{job['recipe']}, KV {job['kv']}",
    }
    if bundle is None:
        return [(cells | {"gate": "failed"}).get(header, "") for header in headers]
    error, ratio = worst_outputs(bundle["accuracy"])
    relative = max(output["relative"] for output in bundle["accuracy"]["outputs"])
    peak = bundle["memory"].get("peak")
    cells |= {
        "size": bytes_text(bundle["bytes"]),
        "peak, predicted": "" if peak is None else bytes_text(peak),
        "max error": error,
        "of the range": f"{relative:.1g}",
        "SNR": ratio,
        "task metric": metric_text(bundle["accuracy"]["metric"]),
        "gate": "met" if bundle["accuracy"]["gate"]["passed"] else "missed",
        "p50, estimated": "" if estimated is None else times_text(estimated["cases"]),
    }
    if result is not None:
        cells["target"] = result["target"]["kind"]
        cells["measured"] = bytes_text(result["measured"]["peak_memory_bytes"])
        emulated = " (emulated)" if result["target"].get("emulated") else ""
        cells["p50"] = times_text(result["measured"]["cases"]) + emulated
    return [cells.get(header, "") for header in headers]


def estimate_text(estimated: Mapping[str, Any] | None) -> str:
    return "unknown" if estimated is None else times_text(estimated["cases"])


def times_text(cases: Sequence[Mapping[str, Any]]) -> str:
    """Medians of a result's cases: "4.2 ms", "4 to 6 ms" where they are estimated, "prompt 40 ms, token 1.2 ms"."""

    def one(case: Mapping[str, Any]) -> str:
        if "low_ms" in case:
            low, high = (float(f"{case[name]:.2g}") for name in ("low_ms", "high_ms"))
            return f"{low:g} to {high:g} ms"
        return f"{case['p50_ms']:.3g} ms"

    return one(cases[0]) if len(cases) == 1 else ", ".join(f"{case['name']} {one(case)}" for case in cases)


def memory_rows(memory: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A manifest's memory parts: name, size, and how much of it there is at the peak, as text; the peaks last.

    A bundle of before has no peak, and parts that are null.
    """
    hidden = ("threads", "inputs_outputs_in_arena", "budget", "peak_load", "peak")
    at_peak = memory.get("at_peak", {})
    rows = []
    for name, size in sorted(memory.items()):
        if name == "unknown":
            rows += [(part_text(part), "unknown", "") for part in size]
        if not isinstance(size, int) or name in hidden:
            continue
        note = " (measured)" if name in memory.get("measured", ()) else ""
        if name == "inputs_outputs":
            inside = memory["inputs_outputs_in_arena"]
            note = f" ({bytes_text(inside)} in the arena)" if inside else " (the caller's)"
        rows.append((part_text(name), bytes_text(size) + note, bytes_text(at_peak[name]) if name in at_peak else ""))
    if at_peak:
        rows.append(("peak while it loads", bytes_text(memory["peak_load"]), ""))
        peak = bytes_text(memory["peak"])
        rows.append((f"peak, {memory['threads']} threads", peak, peak))
    return rows


def part_text(name: str) -> str:
    """A part of the memory, for people."""
    return "inputs and outputs" if name == "inputs_outputs" else name.replace("_", " ")


def print_timeline(steps: Sequence[Mapping[str, Any]], parts: Sequence[str], rows: int) -> None:
    """The steps that take most, the largest first; then how many were left out."""
    named = [part for part in parts if any(step[part] for step in steps)]
    largest = sorted(steps, key=lambda step: -step["total"])[:rows]
    headers = ("method", "step", "operator", "total", *map(part_text, named))
    cells = [
        (
            step["method"],
            str(step["index"]),
            step["operator"],
            bytes_text(step["total"]),
            *(bytes_text(step[part]) if step[part] else "" for part in named),
        )
        for step in largest
    ]
    print_table(headers, cells, right=(1, *range(3, len(headers))))
    if len(steps) > rows:
        print(f"{len(steps) - rows} smaller steps are not shown: --json shows all.")


def print_calibration(bundles: Sequence[Bundle]) -> None:
    """What int8 learned its ranges from, one line for all bundles; nothing for bundles without calibration."""
    models = [bundle.manifest["model"] for bundle in bundles if bundle.manifest["recipe"] == "int8"]
    sources = [f"{model['name']} on {model['calibrated_on']}" for model in models]
    if sources:
        print(f"Calibrated: {', '.join(sources)}{GENERATED_HINT if any(map(_made_up, sources)) else ''}.")


def _made_up(source: str) -> bool:
    return "generated" in source or "random" in source


def print_evaluation(evaluation: Evaluation, markdown: bool = False) -> None:
    """Metrics, then single findings, then notes; as Markdown for a document."""
    for table in (evaluation.metrics, evaluation.details):
        if table is not None:
            keys = list(table.columns)
            numbers = [
                index for index, key in enumerate(keys) if any(isinstance(row[key], float) for row in table.rows)
            ]
            rows = [[cell_text(row[key]) for key in keys] for row in table.rows]
            (_print_markdown if markdown else print_table)(list(table.columns.values()), rows, numbers)
    for note in evaluation.notes:
        print(f"- {note}" if markdown else note)


def _print_markdown(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int]) -> None:
    numbers = set(right)
    rules = ["--:" if index in numbers else "---" for index in range(len(headers))]
    for line in (headers, rules, *rows):
        print(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |")
    print()


def cell_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.6g}"
