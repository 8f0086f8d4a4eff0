"""Results of `edgekit profile` for people: times, memory, power, what the device said, the dearest operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.devices.operators import leaves
from edgekit.devices.results import case_title, rate
from edgekit.report import bytes_text, print_table

#: Operators that are shown of a case.
DEAREST = 10
#: A p90 above so many times the median says that the device was not quiet.
UNEASY = 1.25
#: A clock below this share of the highest one is low.
LOW_CLOCK = 0.9


def print_results(results: Sequence[Mapping[str, Any]]) -> None:
    """A line per case, then what stands beside the figures."""
    cases = [(result, case) for result in results for case in result["measured"]["cases"]]
    reached = any("gflops" in case for _, case in cases)
    headers = ["bundle", "p50", "p90", "p99", "first", "load", "throughput"]
    headers += ["GFLOP/s", "GB/s"] if reached else []
    headers += ["peak", "predicted"]
    rows = []
    for result, case in cases:
        predicted = result["bundle"]["memory"].get("peak")
        row = [
            case_title(result, case) + (" (emulated)" if result["target"]["emulated"] else ""),
            *(milliseconds(case[f"{name}_ms"]) for name in ("p50", "p90", "p99", "first")),
            milliseconds(result["measured"]["load_ms"]),
            throughput(case),
        ]
        row += [_figure(case.get("gflops")), _figure(case.get("gb_per_s"))] if reached else []
        row += [bytes_text(result["measured"]["peak_memory_bytes"]), bytes_text(predicted) if predicted else ""]
        rows.append(row)
    print_table(headers, rows, right=range(1, len(headers)))
    for line in dict.fromkeys(_where(result) for result in results):
        print(line)
    for result in results:
        for line in [*_device(result), *_power(result), *_doubts(result)]:
            print(line)


def print_estimates(results: Sequence[Mapping[str, Any]]) -> None:
    """Ranges of times that nobody measured, and what they rest on."""
    rows = []
    for result in results:
        for case in result["estimated"]["cases"]:
            total = sum(case["kinds"].values())
            mostly = sorted(case["kinds"].items(), key=lambda one: -one[1])[:3]
            rows.append(
                (
                    case_title(result, case),
                    result["estimated"]["device"],
                    milliseconds(case["p50_ms"]),
                    f"{milliseconds(case['low_ms'])} to {milliseconds(case['high_ms'])}",
                    throughput(case),
                    ", ".join(f"{kind} {100 * time / total:.0f} %" for kind, time in mostly if total),
                )
            )
    print_table(("bundle", "device", "p50, estimated", "between", "throughput", "mostly"), rows, right=(2, 3, 4))
    for text in dict.fromkeys(result["estimated"]["calibration"] for result in results):
        print(f"Estimated from the device's profile, nothing was run: {text}.")


def print_operators(results: Sequence[Mapping[str, Any]]) -> None:
    """The dearest operators of every case, and what no delegate takes."""
    for result in results:
        for name, rows in (result["operators"] or {}).items():
            # What happens in a delegate's call is shown instead of the call, where the runtime tells it.
            single = leaves(rows)
            dearest = sorted(single, key=lambda row: -row["p50_us"])[:DEAREST]
            title = f"{result['bundle']['name']}, {name}" if len(result["operators"]) > 1 else result["bundle"]["name"]
            print_table(
                (title, "#", "kind", "place", "calls", "time", "share", "GFLOP/s", "GB/s", "bound"),
                [
                    (
                        row["name"],
                        str(row["index"]),
                        row["kind"],
                        row["place"],
                        str(row["calls"]),
                        milliseconds(1e-3 * row["p50_us"]),
                        f"{100 * row['share']:.1f} %",
                        _figure(row["gflops"]),
                        _figure(row["gb_per_s"]),
                        row["bound"] or "",
                    )
                    for row in dearest
                ],
                right=(1, *range(4, 9)),
            )
            if not any(row["place"].startswith("delegate") for row in rows):  # all of it is the runtime's
                continue
            outside = sorted((row for row in single if row["place"] == "runtime"), key=lambda row: -row["p50_us"])
            share = sum(row["share"] for row in outside)
            names = ", ".join(dict.fromkeys(row["name"] for row in outside)) or "nothing"
            print(f"Not delegated: {names}{f' ({100 * share:.1f} % of the time)' if outside else ''}.")


def throughput(case: Mapping[str, Any]) -> str:
    """ "12.5 frames/s", "4,000 windows/s"."""
    value, _ = rate(case)
    return f"{value:,.0f} {case['unit']}s/s" if value >= 1000 else f"{value:.3g} {case['unit']}s/s"


def milliseconds(value: float) -> str:
    """ "45.8 us", "2.41 ms", "12.3 s"."""
    for below, factor, unit in ((0.1, 1e3, "us"), (1e4, 1, "ms")):
        if value < below:
            return f"{value * factor:.4g} {unit}"
    return f"{value / 1e3:.4g} s"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _where(result: Mapping[str, Any]) -> str:
    """Where and how a result was measured."""
    machine, settings, target = result["machine"], result["settings"], result["target"]
    parts = [machine["title"]]
    if machine["cpu"] not in machine["title"]:
        parts.append(machine["cpu"])
    if machine["cores"]:
        parts.append(f"{machine['cores']} cores")
    if machine["memory_bytes"]:
        parts.append(f"{machine['memory_bytes'] / 2**30:.3g} GiB")
    parts.append(machine["os"])
    at = f" at {target['address']}" if target["address"] else ""
    count = settings["threads"]
    threads = f", {count} thread{'s' if count > 1 else ''}" if count else ""
    mask = f", CPU mask {settings['cpu_mask']}" if settings["cpu_mask"] else ""
    how = f"{settings['runs']} runs after {settings['warmup']} for warm-up{threads}{mask}"
    if target["emulated"]:
        return f"Emulated ({machine['title']}; {how}): times and memory say nothing of a device."
    return f"Measured on {', '.join(parts)}{at}: {how}."


def _device(result: Mapping[str, Any]) -> list[str]:
    """Temperature and clock before and after, where the device tells them."""
    telemetry = result["measured"].get("telemetry") or {}
    before, after = telemetry.get("before") or {}, telemetry.get("after") or {}
    parts = []
    if hottest := max((after.get("temperature_c") or {}).items(), key=lambda one: one[1], default=None):
        name, degrees = hottest
        earlier = (before.get("temperature_c") or {}).get(name)
        parts.append(f"{name} {'' if earlier is None else f'{earlier:.1f} to '}{degrees:.1f} C")
    if clocks := after.get("clock_mhz"):
        highest = max((after.get("max_clock_mhz") or {}).values(), default=None)
        of = f" of {highest:.0f}" if highest else ""
        parts.append(f"clock {max(clocks.values()):.0f}{of} MHz")
    return [f"{result['bundle']['name']}: {', '.join(parts)}."] if parts else []


def _power(result: Mapping[str, Any]) -> list[str]:
    found = result["measured"].get("power")
    if not found:
        return []
    rails = [found["rails"][name] for name in found["rail"].split("+")]
    mean, idle = sum(rail["mean_mw"] for rail in rails), sum(rail["idle_mw"] for rail in rails)
    of = f" ({found['case']})" if found.get("case") and len(result["measured"]["cases"]) > 1 else ""
    return [
        f"{result['bundle']['name']}{of}: {found['energy_mj_per_call']:.4g} mJ a call; {found['rail']} "
        f"{mean / 1e3:.3g} W while it ran, {idle / 1e3:.3g} W at rest."
    ]


def _doubts(result: Mapping[str, Any]) -> list[str]:
    """What makes the times less sure."""
    if result["target"]["emulated"]:
        return []
    name, measured = result["bundle"]["name"], result["measured"]
    telemetry = measured.get("telemetry") or {}
    lines = []
    if telemetry.get("throttled"):
        lines.append(f"Warning: the device throttled while {name} ran: let it cool down, then measure again.")
    after = telemetry.get("after") or {}
    clocks, highest = after.get("clock_mhz") or {}, after.get("max_clock_mhz") or {}
    slow = [cpu for cpu, clock in clocks.items() if clock < LOW_CLOCK * highest.get(cpu, 0)]
    if slow and len(slow) == len(clocks):
        lines.append(f"Warning: all cores ran below their highest clock after {name}: see the governor (cpufreq).")
    for case in measured["cases"]:
        if case["p90_ms"] > UNEASY * case["p50_ms"]:
            title, ratio = case_title(result, case), case["p90_ms"] / case["p50_ms"]
            lines.append(f"Warning: {title}: p90 is {ratio:.2f} times p50; something else ran there, measure again.")
    return lines
