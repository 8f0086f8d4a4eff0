"""`edgekit devices`: what a device has, what this machine can do at most, and how near to that operators come."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import PATH, force_option, json_option

_COMMANDS = ("show", "measure", "calibrate")


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from edgekit.errors import unknown_name

        found = super().get_command(ctx, cmd_name)
        if found is None:
            raise unknown_name("command", cmd_name, _COMMANDS, "edgekit devices --help")
        return found


@click.group("devices", cls=_Group)
def command() -> None:
    """Show a device profile; measure this machine, and calibrate estimates on it.

    `edgekit list devices` shows the profiles that there are.
    """


@command.command("show")
@click.argument("device", metavar="NAME")
@json_option
def show(device: str, as_json: bool) -> None:
    """Show what the device NAME has, and which operators go to its GPU from which work on.

    NAME is a profile's, or the path of a .toml file.
    """
    from dataclasses import asdict

    from edgekit.devices.gpu_work import least_work
    from edgekit.devices.profile import load_profile
    from edgekit.devices.profile_text import device_rows, gpu_rows, peaks_rows
    from edgekit.report import print_json, print_table

    profile = load_profile(device)
    found = least_work(profile)
    if as_json:
        print_json({"profile": asdict(profile), "least_work": {"values": dict(found.values), "source": found.source}})
        return
    print_table((profile.name, profile.title), device_rows(profile))
    if profile.peaks is not None:
        rows = peaks_rows(profile.peaks, profile.caches, profile.memory.bandwidth_gb_per_s)
        print_table(("CPU, at most", profile.peaks.source), rows, (1,))
    if profile.gpu is not None:
        print_table(("GPU", profile.gpu.name), gpu_rows(profile.gpu, found))
    print(f"Next: edgekit export --device {device}")


@command.command("measure")
@click.option("--device", metavar="NAME", help="The profile that says what a machine cannot: formats, a GPU.")
@click.option("-o", "--output", type=PATH, metavar="FILE.toml", help="Where the profile goes; without it, to stdout.")
@force_option
@json_option
def measure(device: str | None, output: Path | None, force: bool, as_json: bool) -> None:
    """Write a device profile of this machine, its peaks measured.

    It takes some seconds; let the machine do nothing else meanwhile.
    """
    from dataclasses import asdict

    from edgekit.devices.measure import local_facts, local_peaks, measured_profile, measured_text
    from edgekit.devices.profile import load_profile
    from edgekit.devices.profile_text import peaks_rows
    from edgekit.errors import UsageError
    from edgekit.files import write_text
    from edgekit.report import print_json, print_table

    if output is not None and output.suffix != ".toml":
        raise UsageError(f"{output} is no .toml file: give it that ending, so that --device takes it.")
    if output is not None and output.exists() and not force:
        raise UsageError(f"{output} exists: choose another file, or replace it with --force.")
    base = load_profile(device) if device is not None else None
    click.echo("measuring arithmetic, memory and launches", err=True)
    facts, peaks = local_facts(), local_peaks()
    profile, notes = measured_profile(facts, peaks, base)
    text = measured_text(profile, notes, peaks)
    if output is not None:
        write_text(output, text)
    if as_json:
        print_json({"profile": asdict(profile), "peaks": peaks, "file": str(output) if output else None})
        return
    if output is None:
        click.echo(text, nl=False)
        return
    assert profile.peaks is not None
    rows = peaks_rows(profile.peaks, profile.caches, profile.memory.bandwidth_gb_per_s)
    print_table((profile.title, f"{peaks['threads']} threads"), rows, (1,))
    print(f"profile: {output}")
    print(f"Next: edgekit export stackvae-g --device {output}")


@command.command("calibrate")
@click.argument("results", nargs=-1, required=True, type=PATH, metavar="RESULTS...")
@click.option("--bundles", type=PATH, required=True, metavar="DIR", help="Where the measured bundles are.")
@click.option("--device", metavar="NAME", required=True, help="The machine that they ran on: what `measure` wrote.")
@click.option("-o", "--output", type=PATH, metavar="FILE.json", help="Where it goes; without it, to stdout.")
@force_option
def calibrate(results: tuple[Path, ...], bundles: Path, device: str, output: Path | None, force: bool) -> None:
    """Fit how near operators come to a machine's roofline, from results of `edgekit profile --operators`.

    RESULTS are files or folders of them. Estimates for devices that are not at hand start from it.
    """
    import shlex

    from edgekit.devices.calibration import calibrate as fit
    from edgekit.devices.profile import load_profile
    from edgekit.devices.results import read_results
    from edgekit.devices.roofline import Roofline
    from edgekit.errors import UsageError
    from edgekit.export.measured import machine_of, measured_cases
    from edgekit.files import check_writable, write_text

    if output is not None:
        check_writable(output)
        if output.exists() and not force:
            raise UsageError(f"{output} exists: choose another file, or replace it with --force.")
    profile = load_profile(device)
    if profile.peaks is None or profile.peaks.source != "measured":
        raise UsageError(
            f"{profile.name} has no measured peaks: `edgekit devices measure -o FILE.toml` makes such a one."
        )
    found = read_results(results)
    words = ["edgekit", "devices", "calibrate", *(path.name for path in results)]
    words += ["--bundles", bundles.name, "--device", Path(device).name]
    date = max((str(result["date"]) for result in found), default="")
    made = fit(measured_cases(found, bundles), Roofline.of(profile), machine_of(profile), date, shlex.join(words))
    click.echo(f"{len(made.bundles)} bundles, {len(made.classes)} classes of operators", err=True)
    if output is None:
        click.echo(made.to_json(), nl=False)
        return
    write_text(output, made.to_json())
    print(f"calibration: {output}")
    print("Next: edgekit profile BUNDLE --estimate --device raspberry-pi-5")
