"""GPU code: how it is compiled, what the library carries, and which image a GPU is given. None of this needs a GPU."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.export.carried import needed
from edgekit.kernels import gpu_images, library_path
from edgekit.kernels.gpu_images import MACHINE_CODE, PTX, SOURCES, Image, carried, described, pack, unpack
from edgekit.kernels.gpu_resources import Kernel, Multiprocessor, kernels, occupancy

from ..machines import CHECKOUT, GPU_CODE, OPERATORS, build

KERNELS = CHECKOUT / "kernels"
#: What the library must have, with the compiler's version: JetPack 6 has CUDA 12.6.
WANTED = [("sm_87", 12060, True), ("sm_90", 12060, False), ("sm_110", 13000, True), ("compute_80", 12060, False)]
DUMMY = """\
#include "cuda.h"
#include "cuda/device.cuh"

namespace edgekit::dummy {
EDGEKIT_GPU_KERNEL(edgekit_dummy_double, Params, kMost) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < p.count) p.y[i] = 2 * p.x[i];
}
EDGEKIT_GPU_KERNEL(edgekit_dummy_spill, Params, kMost) {
  float kept[300];
  for (int i = 0; i < 300; ++i) kept[i] = p.x[i * p.count];
  for (int i = 0; i < 300; ++i) p.y[static_cast<int>(kept[i]) % 300] = kept[(i * p.count) % 300];
}
}
"""
DUMMY_HEADER = """\
#include "../common/number.h"
namespace edgekit::dummy {
struct Params { const float *x; float *y; unsigned count; };
constexpr int kMost = common::kNumber;
}
"""


def of_sources() -> set[str]:
    """The names of all kernels in the sources; how they begin, where a macro makes several."""
    text = "".join(path.read_text(encoding="utf-8") for path in KERNELS.glob("ops/*/*.cu*"))
    return set(re.findall(r"EDGEKIT_GPU_KERNEL\((\w+)", text))


def installed() -> list[Image]:
    return unpack(carried(library_path("ops")))


def of_ptx(image: Image) -> set[str]:
    return set(re.findall(r"\.entry (\w+)\(", image.data.decode()))


def test_the_library_carries_code_for_every_gpu():
    images = installed()
    assert [(image.architecture, image.compiler, image.only) for image in images[:-1]] == WANTED
    assert images[-1].kind == SOURCES
    (ptx,) = (image for image in images if image.kind == PTX)
    assert ptx.data.endswith(b"\0")
    assert ".target sm_80" in ptx.data.decode()
    for image in images:
        if image.kind == MACHINE_CODE:
            assert image.data[:4] == b"\x7fELF"
            assert {kernel.name for kernel in kernels(image.data)} == of_ptx(ptx)
    begins = tuple(name for name in of_sources() if name.startswith("edgekit_"))
    assert "edgekit_kv_append_rows" in begins
    assert all(any(name.startswith(begin) for name in of_ptx(ptx)) for begin in begins)
    assert all(name.startswith(begins) for name in of_ptx(ptx))


def test_it_was_compiled_from_these_sources(tmp_path):
    (tmp_path / "gpu_code.bin").write_bytes(carried(library_path("ops")))
    assert run(CHECKOUT / "kernels", tmp_path / "gpu_code.bin", "--check") == ""


def test_nothing_is_spilled():
    """No kernel has a stack: what is spilled from registers would lie there."""
    taken = {
        (image.architecture, kernel.name): kernel.stack
        for image in installed()
        if image.kind == MACHINE_CODE
        for kernel in kernels(image.data)
    }
    assert {name: stack for name, stack in taken.items() if stack} == {}


def test_the_table_in_the_documentation():
    """Its figures are those of one build; its kernels are all that there are, and as many threads."""
    lines = (CHECKOUT / "docs" / "benchmarks.md").read_text(encoding="utf-8").splitlines()
    shown = {found[1]: int(found[2]) for line in lines if (found := re.match(r"\| `(edgekit_\w+)` \| (\d+) \|", line))}
    image = next(image for image in installed() if image.kind == MACHINE_CODE)
    assert shown == {kernel.name: kernel.threads for kernel in kernels(image.data)}


def test_table(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(KERNELS))
    from bench import gpu_code

    gpu_code.main(["--json", str(tmp_path / "figures.json")])
    table = capsys.readouterr().out.splitlines()
    rows = json.loads((tmp_path / "figures.json").read_text())
    names = sorted({row["kernel"] for row in rows})
    assert [re.match(r"\| `(\w+)` \|", line)[1] for line in table[2:]] == names
    assert {row["architecture"] for row in rows} == {"sm_87", "sm_90", "sm_110"}
    assert len(rows) == 3 * len(names)
    for row in rows:
        assert 0 < row["registers"] <= 255
        assert 0 < row["occupancy"]["share"] <= 1
        assert row["code"] > 0
    other = library_path("ops").with_name("libexecutorch.so")
    with pytest.raises(SystemExit, match=r"libexecutorch\.so was built without GPU code"):
        gpu_code.main([str(other)])


@pytest.mark.parametrize(
    ("threads", "registers", "architecture", "blocks", "share"),
    [
        # By NVIDIA's occupancy calculator.
        (256, 32, (48, 16), 6, 1.0),
        (256, 64, (64, 32), 4, 0.5),
        (128, 60, (48, 16), 8, 2 / 3),
        (32, 16, (48, 16), 16, 1 / 3),
        (512, 40, (48, 16), 3, 1.0),
        (96, 168, (64, 32), 4, 12 / 64),
        (1024, 32, (48, 16), 1, 2 / 3),
        (1024, 128, (64, 32), 0, 0.0),
    ],
)
def test_occupancy(threads, registers, architecture, blocks, share):
    has = Multiprocessor(*architecture, 164 << 10, 163 << 10)
    found = occupancy(Kernel("kernel", threads, registers, 0, 100), has)
    assert (found.blocks, found.share) == (blocks, pytest.approx(share))
    if blocks:
        assert blocks * (found.shared + 1024) <= has.shared < (blocks + 1) * (found.shared + 1024)


# --- compiling -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def nvrtc() -> list[Path]:
    """The folders of both compilers."""
    found = []
    for name in ("nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc"):
        command = (
            "import sys; sys.path.insert(0, sys.argv[1]); import packages; "
            "print(packages.installed(sys.argv[2], packages.requirement(sys.argv[2])) or '')"
        )
        arguments = [sys.executable, "-c", command, GPU_CODE.parent, name]
        folder = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
        if not folder:
            pytest.skip(f"needs {name}: pip install '.[gpu-code]'")
        found.append(Path(folder))
    return found


@pytest.fixture
def dummies(tmp_path) -> Callable[[str], Path]:
    """A copy of kernels/ with two small kernels, in a folder of its own."""

    def make(name: str) -> Path:
        folder = tmp_path / name / "kernels"
        for part in ("cmake", "cuda"):
            shutil.copytree(KERNELS / part, folder / part)
        shutil.copy(KERNELS / "gpu_images.py", folder)
        for path, text in (
            ("dummy/cuda.cu", DUMMY),
            ("dummy/cuda.h", DUMMY_HEADER),
            ("common/number.h", "#pragma once\nnamespace edgekit::common { constexpr int kNumber = 192; }\n"),
        ):
            (folder / "ops" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "ops" / path).write_text(text, encoding="utf-8")
        return folder

    return make


def run(folder: Path, *arguments: object) -> str:
    """Runs gpu_code.py of a folder; gives what it says, which is nothing where all is well."""
    command = [sys.executable, folder / "cmake" / "gpu_code.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == (1 if done.stderr else 0)
    return done.stdout + done.stderr


def test_the_same_bytes_wherever_the_sources_lie(dummies, nvrtc, tmp_path):
    files = []
    for name in ("here", "a longer name"):
        folder = dummies(name)
        files.append(tmp_path / f"{name}.bin")
        assert run(folder, files[-1], "--nvrtc", *nvrtc, "--depfile", tmp_path / "gpu_code.d") == ""
    assert files[0].read_bytes() == files[1].read_bytes()
    images = unpack(files[0].read_bytes())
    assert [(image.architecture, image.compiler, image.only) for image in images[:-1]] == WANTED
    assert not [image for image in images if str(tmp_path).encode() in image.data]
    target, *others = (tmp_path / "gpu_code.d").read_text().replace("\\ ", "?").split()
    assert target == f"{files[1]}:".replace(" ", "?")
    headers = {"cuda/device.cuh", "cuda/types.h", "ops/dummy/cuda.cu", "ops/dummy/cuda.h", "ops/common/number.h"}
    assert {name.split("/kernels/")[1] for name in others} >= headers


def test_what_kernels_take_is_what_the_compiler_says(dummies, nvrtc, tmp_path):
    folder, file = dummies("here"), tmp_path / "gpu_code.bin"
    script = folder / "cmake" / "gpu_code.py"
    script.write_text(script.read_text().replace('"--std=c++17"', '"--std=c++17", "--ptxas-options=-v"'))
    command = [sys.executable, script, file, "--nvrtc", *nvrtc]
    said = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stderr
    taken = {
        (found["kernel"], found["architecture"]): (int(found["stack"]), int(found["registers"]))
        for found in re.finditer(
            r"entry function '(?P<kernel>\w+)' for '(?P<architecture>\w+)'\n.*\n"
            r".*?(?P<stack>\d+) bytes stack frame.*\n.*Used (?P<registers>\d+) registers",
            said,
        )
    }
    assert len(taken) == 6
    for image in unpack(file.read_bytes()):
        if image.kind == MACHINE_CODE:
            assert [kernel.name for kernel in kernels(image.data)] == ["edgekit_dummy_double", "edgekit_dummy_spill"]
            for kernel in kernels(image.data):
                assert kernel.threads == 192
                assert (kernel.stack, kernel.registers) == taken[kernel.name, image.architecture]
    assert taken["edgekit_dummy_spill", "sm_87"][0] == 4 * 300


def test_changed_sources(dummies, nvrtc, tmp_path):
    folder, file = dummies("here"), tmp_path / "gpu_code.bin"
    assert run(folder, file, "--nvrtc", *nvrtc) == ""
    assert run(folder, file, "--check") == ""
    (folder / "ops" / "common" / "number.h").write_text("namespace edgekit::common { constexpr int kNumber = 64; }\n")
    assert "was compiled from other sources than these" in run(folder, file, "--check")
    file.write_bytes(file.read_bytes()[:-1])
    assert "is not a file of GPU code (an image is damaged)" in run(folder, file, "--check")


def test_what_does_not_compile(dummies, nvrtc, tmp_path):
    folder, file = dummies("here"), tmp_path / "gpu_code.bin"
    (folder / "ops" / "dummy" / "cuda.cu").write_text(DUMMY.replace("p.count) p.y", "p.number) p.y"))
    said = run(folder, file, "--nvrtc", *nvrtc)
    assert said.startswith("The GPU's kernels cannot be compiled for sm_87:\n")
    assert "ops/dummy/cuda.cu(7): error:" in said
    assert "number" in said
    assert not file.exists()


def test_other_compilers(dummies, nvrtc, tmp_path):
    folder, file = dummies("here"), tmp_path / "gpu_code.bin"
    assert "sm_110 needs NVRTC 13.0, which --nvrtc does not name" in run(folder, file, "--nvrtc", nvrtc[0], nvrtc[0])
    said = run(folder, file, "--nvrtc", tmp_path, nvrtc[1])
    assert "has no lib/libnvrtc-builtins.so.*: it is not the folder of NVRTC's package" in said


# --- the file, and what a GPU is given of it -------------------------------------------------------------------------

IMAGES = [
    Image(MACHINE_CODE, 8, 7, 12060, True, b"for Orin" * 99),
    Image(MACHINE_CODE, 9, 0, 12060, False, bytes(range(256)) * 9),
    Image(MACHINE_CODE, 11, 0, 13000, True, random.Random(0).randbytes(70000)),
    Image(PTX, 8, 0, 12060, False, b"text of PTX\0"),
    Image(SOURCES, 0, 0, 0, False, b"0123456789abcdef0123456789abcdef"),
]


def test_what_is_packed_is_unpacked():
    code = pack(IMAGES)
    assert unpack(code) == IMAGES
    assert described(code) == "compute capability 8.7, 9.0, 11.0; PTX for 8.0 and later"
    for size in (0, 5, 11, 12, 40, len(code) - 1):
        with pytest.raises(ValueError, match=r"it begins with something else|it ends too early|an image is damaged"):
            unpack(code[:size])
    assert gpu_images.carried(library_path("ops").with_name("libexecutorch.so")) == b""


@pytest.fixture(scope="session")
def finder(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """The library's search for an image, with sanitizers."""
    folder = tmp_path_factory.mktemp("finder")
    flags = "-DCMAKE_CXX_FLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    build(folder, flags, "-DEDGEKIT_TORCH_INCLUDE=", "-DEDGEKIT_EXECUTORCH=", targets=("find_gpu_code",))

    def find(code: bytes, *numbers: int) -> subprocess.CompletedProcess[bytes]:
        (folder / "code").write_bytes(code)
        command = [folder / OPERATORS / "find_gpu_code", folder / "code", *numbers]
        done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
        assert done.returncode == bool(done.stderr), done.stderr.decode()
        return done

    return find


@pytest.mark.parametrize(
    ("gpu", "driver", "given"),
    [
        ((8, 7), 12060, 0),
        ((8, 7), 12020, 0),  # JetPack 6.0
        ((8, 7), 13020, 0),  # JetPack 7
        ((9, 0), 12040, 1),
        ((9, 5), 12040, 1),  # a later one of the same kind, if there were one
        ((11, 0), 13000, 2),
        ((11, 0), 12080, 3),
        ((11, 1), 13000, 3),  # no Jetson's code but its own
        ((8, 0), 12060, 3),
        ((8, 9), 12060, 3),
        ((12, 0), 13000, 3),
    ],
)
def test_the_image_that_a_gpu_is_given(finder, gpu, driver, given):
    assert finder(pack(IMAGES), *gpu, driver).stdout == IMAGES[given].data


@pytest.mark.parametrize(
    ("gpu", "driver", "why"),
    [
        (
            (8, 7),
            11040,
            "of CUDA 11.4, and code for compute capability 8.7 needs CUDA 12.0: update the driver",
        ),
        (
            (8, 9),
            12020,
            "of CUDA 12.2, and code for compute capability 8.9 needs CUDA 12.6: update the driver",
        ),
        ((7, 2), 12060, "capability 7.2, and this library has code for 8.7, 9.0, 11.0, 8.0 and later (PTX)"),
    ],
)
def test_why_there_is_none(finder, gpu, driver, why):
    assert finder(pack(IMAGES), *gpu, driver).stderr.decode().endswith(why)


def test_no_code(finder):
    assert finder(b"", 8, 7, 12060).stderr == b"this library was built without GPU code"


def test_damaged_code(finder):
    """Never another image, and never a read outside of the code, which the sanitizers would see."""
    code, chance = pack(IMAGES[:2]), random.Random(1)
    damaged = [code[:size] for size in (1, 8, 11, 12, 30, 51, 52, 60, len(code) - 1)]
    for _ in range(60):
        place = chance.randrange(len(code))
        damaged.append(code[:place] + bytes([code[place] ^ (1 << chance.randrange(8))]) + code[place + 1 :])
    for one in damaged:
        done = finder(one, 9, 0, 12060)
        if done.returncode == 0:
            assert done.stdout == IMAGES[1].data
    assert b"GPU code is damaged: install it again" in finder(code[:-1], 9, 0, 12060).stderr
    # PTX that does not end would be read on and on.
    endless = pack([Image(PTX, 8, 0, 12060, False, b"endless")])
    assert b"damaged" in finder(endless, 9, 0, 12060).stderr


@pytest.mark.parametrize("level", [0, 1, 9])
def test_streams_of_every_kind(finder, monkeypatch, level):
    """Stored, with fixed codes and with codes of their own, short and long, against Python's zlib."""
    true_compress = gpu_images.zlib.compress
    monkeypatch.setattr(gpu_images.zlib, "compress", lambda data, _: true_compress(data, level))
    chance = random.Random(level)
    words = [chance.randbytes(chance.randrange(1, 40)) for _ in range(300)]
    for data in (
        b"\0",
        b"abcabcabc\0",
        b"".join(chance.choices(words, k=9000)),
        bytes(300000),
        chance.randbytes(150000),
    ):
        assert finder(pack([Image(MACHINE_CODE, 8, 7, 12060, data=data)]), 8, 7, 12060).stdout == data


def test_the_library_needs_no_driver():
    """CUDA's driver is opened at run time: nothing of it, or of CUDA, is asked for when the library is loaded."""
    from elftools.elf.elffile import ELFFile

    with library_path("ops").open("rb") as file:
        assert not [name for name in needed(ELFFile(file)) if "cu" in name or "nv" in name]
