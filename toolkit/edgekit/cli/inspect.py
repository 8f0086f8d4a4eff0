"""`edgekit inspect`: what is inside a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.options import PATH, json_option

#: Steps that `--memory` shows.
TOP_STEPS = 12


@click.command("inspect")
@click.argument("bundle", type=PATH)
@click.option("--memory", is_flag=True, help="Show what lives when: the memory of each step, the largest first.")
@click.option("--picture", type=PATH, metavar="FILE.png", help="Draw the memory of each step.")
@click.option("--device", metavar="NAME", help="For --memory: another device than the bundle was made for.")
@json_option
def command(bundle: Path, memory: bool, picture: Path | None, device: str | None, as_json: bool) -> None:
    """Show BUNDLE's methods, operators, delegates, sizes, memory parts, accuracy and hashes."""
    if memory or picture is not None:
        _show_timeline(bundle, picture, device, as_json)
        return
    from edgekit.bundle import Bundle
    from edgekit.devices.gpu_work import gpu_text
    from edgekit.report import (
        bytes_text,
        fast_share,
        memory_rows,
        part_bytes,
        print_accuracy,
        print_calibration,
        print_json,
        print_outputs,
        print_table,
        share_text,
    )

    opened = Bundle.open(bundle)
    manifest = opened.manifest
    if as_json:
        print_json(dict(manifest))
        return
    model = manifest["model"]
    made_with = ", ".join(f"{name} {version}" for name, version in manifest["tools"].items())
    identity = f"{model['name']} ({model['variant']}, {model['parameters']:,} parameters)"
    cache = f", KV cache {manifest['kv']}," if "kv" in manifest else ""
    entry = manifest["programs"][0]
    runs_on = (
        f", runs on the {entry['processor'].upper()}" if "processor" in entry else ""
    )  # bundles of before say none
    print(f"{identity} as {manifest['recipe']}{cache} for {manifest['device']}: {entry['file']}{runs_on}")
    if numbers := manifest.get("numbers"):  # bundles of before have none
        print(f"weights {numbers['weights']}, computed in {numbers['activations']}{_calibration(numbers)}")
        if numbers["keep_fp32"] or numbers["kept_by_model"]:
            print(f"in fp32: {_kept(numbers)}")
    if explain := manifest["pipeline"].get("explain"):  # only with a dictionary
        layers = ", ".join(map(str, explain["layers"]))
        print(f"features: {explain['features']} of each of layers {layers}; `edgekit explain show {bundle}` lists them")
        for one in explain.get("steering", ()):
            print(f"steered for good: {one['layer']}:{one['feature']} by KL {one['kl']:g} (alpha {one['alpha']:.3g})")
    print(f"task {manifest['pipeline']['name']}, seed {manifest['seed']}, made with {made_with}")

    program = opened.program
    delegation = manifest["programs"][0].get("delegation", {})
    counted = [delegation.get(method.name) for method in program.methods]
    print_table(
        ("method", "inputs", "outputs", "MACs", "fast MACs", "arena"),
        [
            (
                method.name,
                ", ".join(spec.describe() for spec in method.inputs),
                ", ".join(spec.describe() for spec in method.outputs),
                "unknown" if count is None else f"{count['macs']:,}",
                share_text(fast_share([] if count is None else [count])),
                part_bytes(manifest["memory"]["by_method"][method.name], "planned_arena"),
            )
            for method, count in zip(program.methods, counted, strict=True)
        ],
        right=(3, 4, 5),
    )
    if program.format == "pte":
        print(f"Delegates: {', '.join(program.delegates) or 'none'}")
        print(f"Inside them: {_operators(delegation, 'delegated_operators') or 'nothing'}")
        print(f"edgekit's operators: {_operators(delegation, 'our_operators') or 'none'}")
        print(f"Left to portable kernels: {_operators(delegation, 'undelegated_operators') or 'nothing'}")
        print(f"Kernels needed from the runtime: {', '.join(program.operators) or 'none'}")
    else:
        _print_operators(manifest["programs"][0])
    if gpu := manifest.get("gpu"):  # only where a device has one, and the program an operator for it
        print(gpu_text(manifest["device"], gpu))

    print_table(("memory", "size", "at the peak"), memory_rows(manifest["memory"]), right=(2,))
    accuracy = manifest["accuracy"]
    print_outputs(accuracy)
    print_calibration([opened])
    print_accuracy(accuracy)
    print_table(
        ("file", "size", "sha256"),
        [(name, bytes_text(entry["bytes"]), entry["sha256"]) for name, entry in sorted(manifest["files"].items())],
        right=(1,),
    )
    if "sbom" in manifest:  # bundles of before have neither
        print(f"Parts: {manifest['sbom']} (CycloneDX); licences: {manifest['licenses']}")
    print(_signature(opened.path))
    print(f"Manifest: schema {manifest['schema']}, sha256 {manifest['sha256']}; all files unchanged.")
    print(f"Next: edgekit verify {bundle}")


def _print_operators(program: dict[str, Any]) -> None:
    """What a `.tflite` or `.onnx` program asks of its runtime."""
    if program["format"] == "tflite":
        print(f"Operators: {', '.join(program['builtin_operators']) or 'none'}")
        print(f"edgekit's operators, which the runtime must be given: {', '.join(program['operators']) or 'none'}")
    else:
        print(f"Operators of opset {program['opset']}: {', '.join(program['operators'])}")
        print(f"Runs by the first of: {', '.join(program['providers'])}")
    if states := program.get("states"):
        print(f"State that goes in and comes out: {len(states)} tensors")


def _signature(bundle: Path) -> str:
    from edgekit.signing import named_key

    name = named_key(bundle)
    if name is None:
        return "Signature: none"
    return f"Signature: by the key {name}; `edgekit bundle verify-signature {bundle} --key FILE.pub` checks it"


def _calibration(numbers: dict[str, Any]) -> str:
    if numbers["observer"] is None:
        return ""
    return f", ranges by {numbers['observer']} of {numbers['samples']} inputs a method"


def _kept(numbers: dict[str, Any]) -> str:
    asked, own = numbers["keep_fp32"], len(numbers["kept_by_model"])
    parts = [f"{', '.join(asked)} (asked for)"] if asked else []
    parts += [f"{own} module{'s' if own > 1 else ''} that the model keeps"] if own else []
    return "; ".join(parts)


def _show_timeline(bundle: Path, picture: Path | None, device: str | None, as_json: bool) -> None:
    from edgekit.bundle import Bundle
    from edgekit.devices.profile import load_profile
    from edgekit.export.timeline import PARTS, bundle_timeline
    from edgekit.memory_pictures import draw_timeline
    from edgekit.report import print_json, print_timeline

    opened = Bundle.open(bundle)
    profile = load_profile(device or opened.manifest["device"])
    steps = [step.to_dict() for step in bundle_timeline(opened, profile)]
    if picture is not None:
        draw_timeline(steps, PARTS, picture, f"{opened.path.name}, memory of each step on {profile.title}")
    if as_json:
        print_json({"device": profile.name, "steps": steps})
        return
    print_timeline(steps, PARTS, TOP_STEPS)
    if picture is not None:
        print(f"Picture: {picture}")


def _operators(delegation: dict[str, dict[str, dict[str, int]]], key: str) -> str:
    """Operators of all methods by the largest count in one of them."""
    counts: dict[str, int] = {}
    for method in delegation.values():
        for name, count in method[key].items():
            counts[name] = max(counts.get(name, 0), count)
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in sorted(counts.items()))
