"""The operators through their C header: under sanitizers here, and on an emulated arm64 machine; the same answers."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from edgekit.devices.profile import load_profile
from edgekit.kernels import reference

from . import machines
from .conftest import AVAILABLE
from .machines import Machine, OperatorError

pytestmark = pytest.mark.slow

ISAS = {"sanitized": AVAILABLE, "thread_checked": AVAILABLE[-1:], "arm64": ["scalar", "neon"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Every machine, built when it is first asked for."""
    known: dict[str, Machine] = {}

    def find(name: str) -> Machine:
        if name not in known:
            known[name] = getattr(machines, name)(tmp_path_factory.mktemp(name))
        return known[name]

    return find


@pytest.fixture(params=[(name, isa) for name, isas in ISAS.items() for isa in isas], ids="-".join)
def runner(request, built):
    """Runs an operator on a machine with an instruction set."""
    name, isa = request.param
    machine = built(name)

    def run(operator, numbers, *inputs, threads=2):
        return machine.operator(operator, numbers, *inputs, threads=threads, isa=isa)

    return run


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sparse_topk(runner, dtype):
    generator = np.random.default_rng(0)
    for rows, n, k in ((1, 1, 1), (3, 37, 37), (5, 256, 32), (2, 1027, 64), (1, 3072, 300), (40, 600, 5)):
        x = generator.normal(size=(rows, n)).astype(dtype)
        x[:, ::7] = np.round(x[:, ::7])
        x[0, :: max(n // 3, 1)] = np.nan
        for sort in (True, False):
            values, indices = reference.sparse_topk(torch.from_numpy(x), k, sort)
            found = runner("sparse_topk", [int(dtype == "float16"), rows, n, k, int(sort)], x)
            assert found[0] == values.numpy().tobytes()
            assert found[1] == indices.numpy().tobytes()


def test_sparse_topk_refuses(runner):
    x = np.zeros((2, 5), np.float32)
    for numbers, says in (
        ((0, 2, 5, 6, 1), "sparse_topk: k is 6, x's last dimension 5: give 1 to 5."),
        ((0, 2, 5, 0, 1), "sparse_topk: k is 0"),
        ((2, 2, 5, 1, 1), "sparse_topk: x has dtype 2"),
    ):
        with pytest.raises(OperatorError, match=re.escape(says)):
            runner("sparse_topk", numbers, x)


def test_an_instruction_set_that_the_machine_lacks(built):
    with pytest.raises(OperatorError, match='EDGEKIT_ISA is "avx2", which is not an instruction set of this CPU'):
        built("arm64").operator("sparse_topk", (0, 1, 5, 1, 1), np.zeros(5, np.float32), isa="avx2")


@pytest.mark.parametrize("name", ["host", "arm64"])
def test_a_program_in_a_cpp_runner(built, tmp_path, name):
    """A `.pte` that calls the operators, run by a C++ program on ExecuTorch's wheel; against eager torch."""
    from executorch.exir import to_edge_transform_and_lower

    from .test_sparse_topk import Best

    x = torch.randn(2, 6, 500, generator=torch.Generator().manual_seed(0))
    exported = torch.export.export(Best(40).eval(), (x,))
    path = tmp_path / "best.pte"
    path.write_bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)
    values, indices = reference.sparse_topk(x * 2.0, 40)
    found = built(name).program(path, x.numpy(), x.flip(-1).numpy())
    assert found[0] == (values + 1.0).numpy().tobytes()
    assert found[1] == indices.numpy().tobytes()
    assert found[2] == found[0]


def test_libraries_fit_old_systems(built):
    """Symbol versions of the arm64 libraries against the glibc of every profile; no libstdc++ is asked for."""
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf: apt install binutils")
    oldest = min(
        tuple(map(int, str(load_profile(name).glibc).split("."))) for name in ("jetson-orin-nano", "raspberry-pi-5")
    )
    libraries = built("arm64").libraries
    assert {library.name for library in libraries} == {"libedgekit_ops.so", "libedgekit_executorch.so"}
    for library in libraries:
        text = subprocess.run(["readelf", "-dVW", library], capture_output=True, text=True, check=True).stdout
        versions = [tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", text)]
        assert max(versions, default=(2, 17)) <= min(oldest, (2, 28)), library
        assert "libstdc++" not in text
        assert "GLIBCXX" not in text
