"""Results joined with the workloads of their bundles: what a calibration is fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.calibration import Measured, cases_of
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError
from edgekit.export.workload import read_workload


def measured_cases(results: Iterable[Mapping[str, Any]], bundles: Path) -> Iterator[Measured]:
    """The cases of results that were measured with their operators, each with its bundle's workload.

    Args:
        results: as `edgekit.devices.results` reads them; estimates, emulators and programs on a GPU are passed over.
        bundles: a folder with the bundles, by the names that results have.

    Raises:
        UsageError: a bundle is not there.
        EdgekitError: the bundle there is another one than was measured.
    """
    for result in results:
        if not result["operators"] or result["measured"] is None or result["target"]["emulated"]:
            continue
        name = result["bundle"]["name"]
        bundle = Bundle.open(bundles / name, check_files=False)
        if bundle.manifest["sha256"] != result["bundle"]["sha256"]:
            raise EdgekitError(f"{bundles / name} is another bundle than was measured: measure it again.")
        workload = read_workload(bundle)
        if not workload.gpu:
            yield from cases_of(workload, result)


def machine_of(profile: DeviceProfile) -> dict[str, Any]:
    """What a calibration says of the machine that it was measured on."""
    cpu = profile.cpu
    return {"title": profile.title, "cpu": cpu.model, "cores": cpu.cores, "clock_ghz": cpu.clock_ghz}
