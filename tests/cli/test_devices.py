"""`edgekit devices show`: a profile in tables, its GPU with what goes there."""

from __future__ import annotations

import json

from edgekit.devices.gpu_work import least_work
from edgekit.devices.profile import list_profiles, load_profile

from .refusals import refuse


def test_a_board_with_a_gpu(cli):
    said = cli("devices", "show", "jetson")
    assert said.code == 0
    for cell in ("8.7", "CUDA 12.6, JetPack 6.2", "164 KB, a block's 163 KB", "8, 0.625 GHz", "1280.0 GFLOP/s"):
        assert cell in said.out
    for name, work in least_work(load_profile("jetson")).values.items():
        assert f"{name} goes there" in said.out
        assert f"from {work:,} " in said.out
    assert "computed from the profile, not measured" in said.out


def test_every_profile_and_json(cli, tmp_path):
    for profile in list_profiles():
        said = cli("devices", "show", profile.name)
        assert said.code == 0
        assert ("compute capability" in said.out) == (profile.gpu is not None)
        assert "None" not in said.out
    shown = json.loads(cli("devices", "show", "jetson-thor", "--json").out)
    assert shown["profile"]["gpu"]["multiprocessors"] == 20
    assert shown["least_work"]["source"] == "computed from the profile, not measured"


def test_unknown_ones(cli):
    refuse(cli("devices", "show", "jetson-thorn"), 2, "did you mean 'jetson-thor'?")
