"""Which of a program's operators a device's GPU takes: the code in the library against the profile, in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.bundle import Bundle
from edgekit.devices.gpu_work import least_work
from edgekit.devices.profile import load_profile, parse_profile
from edgekit.errors import EdgekitError
from edgekit.export.gpu import OPERATOR_LIBRARY, gpu_operators, gpu_part
from edgekit.kernels import gpu_code, library_path
from edgekit.kernels.gpu_images import MACHINE_CODE, PTX, SOURCES, Image, pack

from ..devices.test_profile import BOARD

SEA = ("aten::add.out", "edgekit::kv_append.out", "edgekit::sea_estimate.out", "edgekit::sparse_topk_attention.out")
XAVIER = '[gpu]\nname = "Volta"\ncompute_capability = "7.2"\ncuda = "11.4"\njetpack = "5.1"\nintegrated = true\n'


#: What a library carries.
IMAGES = [
    Image(MACHINE_CODE, 8, 7, 12060, only=True, data=b"orin"),
    Image(MACHINE_CODE, 9, 0, 12060, data=b"hopper"),
    Image(MACHINE_CODE, 11, 0, 13000, only=True, data=b"thor"),
    Image(PTX, 8, 0, 12060, data=b"any\0"),
    Image(SOURCES, 0, 0, 0, data=b"digest"),
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A bundle's files, with these images in its library."""
    monkeypatch.setattr(gpu_code, "carried", lambda path: pack(IMAGES))
    return {OPERATOR_LIBRARY: tmp_path / "library"}


def told(device, files, operators=SEA):
    said = []
    return gpu_part(device, operators, files, said.append), said


def of(device, **changes):
    """A profile with another GPU."""
    return replace(device, gpu=replace(device.gpu, **changes))


@pytest.mark.parametrize("name", ["jetson", "jetson-agx-orin", "jetson-thor"])
def test_boards_that_ship_take_it(files, name):
    device = load_profile(name)
    part, said = told(device, files)
    assert said == []
    assert part == {
        "compute_capability": device.gpu.compute_capability,
        "cuda": device.gpu.cuda,
        "least_work": {name: work for name, work in least_work(device).values.items() if f"edgekit::{name}.out" in SEA},
        "source": "computed from the profile, not measured",
    }
    assert set(part["least_work"]) == {"kv_append", "sea_estimate", "sparse_topk_attention"}
    # Without native files nobody knows which library will run it.
    assert told(device, {}) == (part, [])


def test_programs_without_such_operators_have_none(files):
    assert told(load_profile("jetson"), files, ["aten::add.out", "edgekit::conv2d.out"]) == (None, [])
    assert told(load_profile("raspberry-pi-5"), files) == (None, [])


def test_operators_by_name():
    assert gpu_operators(["edgekit.sparse_topk?k=8&sorted=1", "edgekit.kv_append", "TopK", "my_edgekit.kv_append"]) == [
        "sparse_topk",
        "kv_append",
    ]


def test_a_gpu_that_the_code_is_not_for(files):
    xavier = parse_profile(BOARD + XAVIER, "xavier.toml")
    assert told(xavier, files) == (
        None,
        [
            "edgekit's operators run on the CPU of my-board: its GPU has compute capability 7.2, the operator library "
            "has code for 8.7, 9.0, 11.0, 8.0 and later (PTX); leave [gpu] out of its profile, or export for a newer "
            "board."
        ],
    )


def test_an_old_driver_is_named_with_what_to_install(files):
    part, said = told(of(load_profile("jetson"), cuda="11.4", jetpack="5.1"), files)
    assert (part, said) == (
        None,
        [
            "edgekit's operators run on the CPU of jetson-orin-nano: its CUDA 11.4 does not take the GPU code, which "
            "needs 12.0 or newer; install JetPack 6.0 or newer there, and set gpu.cuda in its profile."
        ],
    )
    thor = of(load_profile("jetson-thor"), cuda="12.4")
    assert "needs 12.6 or newer; install JetPack 6.0" in told(thor, files)[1][0]  # by its PTX
    assert "install a newer driver there" in told(of(thor, jetpack=None), files)[1][0]


def test_newer_software_takes_older_code(files):
    for cuda, jetpack in (("12.2", "6.0"), ("13.2", "7.2")):
        part, said = told(of(load_profile("jetson"), cuda=cuda, jetpack=jetpack), files)
        assert (part["cuda"], said) == (cuda, [])


def test_ptx_is_said(files):
    part, said = told(of(load_profile("jetson"), compute_capability="8.6"), files)
    assert part is not None
    assert "compiles its PTX when a bundle is first run there" in said[0]


def test_a_library_without_gpu_code_and_a_damaged_one(files, monkeypatch):
    monkeypatch.setattr(gpu_code, "carried", lambda path: b"")
    part, said = told(load_profile("jetson"), files)
    assert part is None
    assert "was built without GPU code; build it where pip can fetch NVRTC" in said[0]
    monkeypatch.setattr(gpu_code, "carried", lambda path: pack(IMAGES)[:-3])
    with pytest.raises(EdgekitError, match=r"the GPU code of .*library cannot be read \(an image is damaged\)"):
        told(load_profile("jetson"), files)


def test_the_library_that_is_installed_fits_the_boards():
    images = gpu_code.library_images(library_path("ops"))
    for name in ("jetson", "jetson-agx-orin", "jetson-thor"):
        gpu = load_profile(name).gpu
        found = gpu_code.fitting(images, gpu.capability, gpu.driver)
        assert (found.kind, found.major, found.minor) == (MACHINE_CODE, *gpu.capability)


@pytest.mark.parametrize(
    ("capability", "driver", "place"),
    [
        ((8, 7), (12, 6), 0),  # Orin with JetPack 6.2
        ((8, 7), (12, 2), 0),  # with JetPack 6.0: minor version compatibility
        ((8, 7), (13, 2), 0),  # with JetPack 7.2
        ((8, 7), (11, 4), None),  # with JetPack 5
        ((11, 0), (13, 0), 2),  # Thor with JetPack 7.0
        ((11, 0), (12, 8), 3),  # a driver before sm_110's compiler
        ((9, 0), (12, 4), 1),
        ((8, 0), (12, 6), 3),
        ((8, 0), (12, 5), None),  # PTX asks for its compiler's driver
        ((8, 9), (12, 6), 3),  # machine code of Orin is for Orin only
        ((12, 0), (13, 0), 3),
        ((7, 2), (11, 4), None),  # Xavier
        ((7, 5), (13, 0), None),
    ],
)
def test_what_a_gpu_is_given(capability, driver, place):
    assert gpu_code.fitting(IMAGES[:-1], capability, driver) == (None if place is None else IMAGES[place])


def test_the_nearest_machine_code():
    images = [Image(MACHINE_CODE, 8, minor, 12060) for minor in (0, 6)]
    assert gpu_code.fitting(images, (8, 9), (12, 6)) == images[1]
    assert gpu_code.fitting(images, (8, 0), (12, 6)) == images[0]


@pytest.mark.slow
def test_a_bundle_says_it_and_is_the_same_twice(cli, text_checkpoints, tmp_path, resealed):
    command = ("export", "sea-opt", "--checkpoint", text_checkpoints / "sea.safetensors", "--device", "jetson")
    command += ("--recipe", "fp32", "--set", "chunk=16", "--no-native", "-q")
    made = [cli(*command, "-o", tmp_path / name) for name in ("one", "two")]
    line = "GPU of jetson-orin-nano: kv_append from 16,000 numbers on, sea_estimate from 250 rows of heads on, "
    line += "sparse_topk_attention from 3,100,000 numbers of the cache on (computed from the profile, not measured); "
    line += "the device needs its driver only (CUDA 12.6).\n"
    assert all(line in one.out and one.code == 0 for one in made)
    first, second = (next((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()
    assert set(Bundle.open(first).manifest["gpu"]["least_work"]) == {
        *("kv_append", "sea_estimate", "sparse_topk_attention"),
    }
    assert line in cli("inspect", first).out
    assert '"gpu": {' in cli("inspect", first, "--json").out
    # Bundles of before say nothing of a GPU, and are read all the same.
    older = resealed(first, lambda folder, fields: fields.pop("gpu"))
    shown = cli("inspect", older)
    assert shown.code == 0
    assert "GPU of" not in shown.out
