"""What XNNPACK takes, predicted from the program and counted in a process that loads and runs it."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit_runtime
from edgekit import export_module
from edgekit.bundle import Bundle
from edgekit.devices.profile import load_profile
from edgekit.export.memory import predict

RUNNERS = [Path(folder, "bin/edgekit-run") for folder in edgekit_runtime.__path__]
RUNNER = next((path for path in RUNNERS if path.exists()), None)
#: What malloc adds to blocks and to pages that it maps, and structures that are not predicted: bytes, or a share.
ROUNDING, SHARE = 20_000, 0.04


class Linears(nn.Module):
    """Sizes that are no multiples of any kernel's, and a tensor between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.last = nn.Linear(608, 1000), nn.Linear(1000, 320), nn.Linear(320, 33)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.narrow(torch.relu(self.wide(x)))))


class Convolutions(nn.Module):
    """Of too few pixels, or too wide strides, for edgekit's own operator."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 24, 5, stride=2, padding=2)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.pointwise = nn.Conv2d(24, 144, 1)
        self.plain = nn.Conv2d(144, 100, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(torch.relu(self.pointwise(torch.relu(self.depthwise(torch.relu(self.strided(x)))))))


def counted_and_predicted(bundle: Bundle) -> tuple[dict[str, int], dict[str, int]]:
    command = [str(RUNNER), str(bundle.path), "--bench", "1", "--json", "--threads", "2"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    device = load_profile("linux-x86_64")
    flags = Path("/proc/cpuinfo").read_text().split()
    vnni = ("avx512vnni",) if "avx512_vnni" in flags else ()
    device = replace(device, cpu=replace(device.cpu, isa=(*device.cpu.isa, *vnni)))
    program = bundle.manifest["programs"][0]
    data = (bundle.path / program["file"]).read_bytes()
    parts = predict(data, 0, bundle.program.methods, device, program["share_packed_weights"])
    return found["memory"]["after_runs"], parts


@pytest.mark.slow
@pytest.mark.skipif(RUNNER is None, reason="the runner is not installed")
@pytest.mark.parametrize(
    ("module", "shape", "recipe"),
    [
        (Linears, (40, 608), "fp32"),
        (Linears, (40, 608), "fp16"),
        (Linears, (40, 608), "int8"),
        (Linears, (40, 608), "int8-dynamic"),
        (Linears, (40, 608), "int4"),
        (Convolutions, (1, 3, 64, 64), "fp32"),
        (Convolutions, (1, 3, 64, 64), "int8"),
    ],
)
def test_packed_weights_and_workspace_are_what_is_counted(tmp_path, module, shape, recipe):
    torch.manual_seed(0)
    inputs = (torch.randn(shape),)
    bundle = export_module(
        module().eval(),
        inputs,
        device="linux-x86_64",
        recipe=recipe,
        output_dir=tmp_path,
        calibration=[inputs] * 2,
        native=False,
        allow_drop=True,
    )
    counted, parts = counted_and_predicted(bundle)
    kept = parts["delegate_packed_weights"] + parts["delegate_buffers"] + parts["delegate_workspace"]
    found = counted["delegate_packed_weights"] + counted["delegate_workspace"]
    print(recipe, counted, parts)
    assert kept == pytest.approx(found, abs=ROUNDING, rel=SHARE)
    if module is Linears:
        assert parts["delegate_packed_weights"] == pytest.approx(
            counted["delegate_packed_weights"], abs=ROUNDING, rel=SHARE
        )
