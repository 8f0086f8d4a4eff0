"""The summary of a report, in sentences: what is there, what is best at what, and what to be wary of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edgekit.report import bytes_text, metric_value

#: Names that a sentence lists before it only counts.
_LISTED = 3


def summary(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Sentences about a page's `bundles`, `runs` and `places`.

    Returns:
        `facts`: what there is, and per model and place what is fastest, smallest and most accurate; `warnings`.
    """
    return {"facts": [_there(data), *_best(data), *_predicted(data)], "warnings": list(_warnings(data))}


def _there(data: Mapping[str, Any]) -> str:
    bundles, runs, places = data["bundles"], data["runs"], data["places"]
    models = list(dict.fromkeys(bundle["model"] for bundle in bundles))
    said = [f"{_count(len(bundles), 'bundle')} of {_count(len(models), 'model')} ({_list(models)})."]
    for basis, verb in (("measured", "measured on"), ("emulated", "run on")):
        here = {run["bundle"] for run in runs if run["basis"] == basis}
        where = [place["title"] for place in places if place["basis"] == basis]
        if here:
            said.append(f"{_count(len(here), 'bundle')} {verb} {_list(where)}.")
    estimated = {run["bundle"] for run in runs if run["basis"] == "estimated"}
    devices = [place["title"] for place in places if place["basis"] == "estimated"]
    if estimated:
        said.append(f"{_count(len(estimated), 'bundle')} estimated for {_list(devices)}, without running there.")
    if explained := data["explanations"]:
        steered = sum(bool(one["steering"]) for one in explained)
        said.append(f"{_count(len(explained), 'text')} explained by features, {steered} of them steered.")
    return " ".join(said)


def _best(data: Mapping[str, Any]) -> Iterator[str]:
    """Of each model and case, at the place where most of its bundles were measured."""
    bundles = data["bundles"]
    for model in dict.fromkeys(bundle["model"] for bundle in bundles):
        runs = [run for run in data["runs"] if bundles[run["bundle"]]["model"] == model and run["basis"] == "measured"]
        if not runs:
            continue
        numbers = [run["place"] for run in runs]
        place = max(dict.fromkeys(numbers), key=numbers.count)
        runs = [run for run in runs if run["place"] == place]
        if len(runs) < 2:
            continue
        said = [f"{model}, {len(runs)} bundles on {data['places'][place]['title']}:"]
        cases = dict.fromkeys(case["name"] for run in runs for case in run["cases"])
        for name in cases:
            times = {run["bundle"]: case["p50_ms"] for run in runs for case in run["cases"] if case["name"] == name}
            of = "" if len(cases) == 1 else f" at {name}"
            best = min(times, key=times.__getitem__)
            said.append(f"fastest{of} is {bundles[best]['label']} ({_milliseconds(times[best])}, p50),")
        peaks = {run["bundle"]: run["peak"] for run in runs if run["peak"]}
        if peaks:
            least = min(peaks, key=peaks.__getitem__)
            said.append(f"least memory takes {bundles[least]['label']} ({bytes_text(peaks[least])} peak),")
        said.append(_most_accurate([bundles[run["bundle"]] for run in runs]))
        yield " ".join(filter(None, said)).rstrip(",") + "."


def _most_accurate(bundles: Sequence[Mapping[str, Any]]) -> str:
    told = [bundle for bundle in bundles if bundle["metric"] and bundle["metric"].get("program") is not None]
    kinds = {(bundle["metric"]["name"], bundle["metric"].get("data")) for bundle in told}
    if len(kinds) != 1:
        return ""
    better: Callable[..., Any] = max if told[0]["metric"].get("better") == "higher" else min
    best = better(told, key=lambda bundle: bundle["metric"]["program"])
    return (
        f"most accurate is {best['label']} ({best['metric']['name']} {metric_value(best['metric']['program'])}, "
        f"eager {metric_value(best['metric']['eager'])})"
    )


def _predicted(data: Mapping[str, Any]) -> Iterator[str]:
    ratios = [
        run["peak"] / data["bundles"][run["bundle"]]["memory"]["peak"] - 1
        for run in data["runs"]
        if run["basis"] == "measured" and run["peak"] and data["bundles"][run["bundle"]]["memory"]["peak"]
    ]
    if ratios:
        yield (
            f"Measured peaks of memory differ from those predicted at export by {_signed(min(ratios))} to "
            f"{_signed(max(ratios))} ({_count(len(ratios), 'run')})."
        )


def _warnings(data: Mapping[str, Any]) -> Iterator[str]:
    bundles, runs = data["bundles"], data["runs"]
    if emulated := [run for run in runs if run["basis"] == "emulated"]:
        yield (
            f"{_count(len(emulated), 'run')} under an emulator: such a time says nothing of a device, and has no place "
            f"in a ranking."
        )
    if throttled := [bundles[run["bundle"]]["title"] for run in runs if run.get("throttled")]:
        yield f"The processor was throttled while these were measured: {_list(throttled)}. Cool it, and measure again."
    if failing := [bundle["title"] for bundle in bundles if not bundle["passed"]]:
        yield f"These miss their accuracy gate: {_list(failing)}."
    if unknown := [bundle["title"] for bundle in bundles if bundle["memory"]["peak"] is None]:
        yield f"No peak of memory could be predicted for {_list(unknown)}."
    if any(run["basis"] == "estimated" for run in runs):
        yield "Estimates are ranges from a device profile's roofline. Measure on the board before you decide."


def _signed(share: float) -> str:
    return f"{100 * share:+.1f} %".replace("-", "\u2212")


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms" if value < 100 else f"{value:,.0f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _list(names: Sequence[str]) -> str:
    if len(names) > _LISTED + 1:
        return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
