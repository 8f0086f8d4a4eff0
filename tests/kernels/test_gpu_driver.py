"""Operators where the GPU, its driver or its memory is not as it should be: the answers are always the reference's.

The stand-in for the driver (native/cuda/fake_driver.cpp) fails as it is told to.
"""

from __future__ import annotations

import dataclasses
import subprocess

import numpy as np
import pytest
import torch

from edgekit.kernels import reference

from ..machines import OPERATORS

pytestmark = pytest.mark.slow
HEADS, CAPACITY, SIZE, ROWS, START = 3, 20, 37, 5, 7


@pytest.fixture
def append(built, monkeypatch):
    """Appends to a cache with these variables set; gives what was said on stderr, and checks the answer."""

    def run(**environment: str) -> str:
        machine = built("emulated_gpu")
        machine = dataclasses.replace(machine, environment=(*machine.environment, *environment.items()))
        said = []
        real = subprocess.run

        def listen(*arguments, **options):
            done = real(*arguments, **options)
            said.append(done.stderr)
            return done

        monkeypatch.setattr(subprocess, "run", listen)
        generator = torch.Generator().manual_seed(0)
        k, v = (torch.randn(HEADS, ROWS, SIZE, generator=generator) for _ in range(2))
        cache = [torch.full((HEADS, CAPACITY, SIZE), 3.0) for _ in range(2)]
        numbers = (0, HEADS, CAPACITY, SIZE, 0, ROWS, START)
        found = machine.operator("kv_append", numbers, *(tensor.numpy() for tensor in (k, v, *cache)))
        monkeypatch.setattr(subprocess, "run", real)
        reference.kv_append(k, v, START, *cache)
        for data, tensor in zip(found, cache, strict=True):
            np.testing.assert_array_equal(np.frombuffer(data, np.float32).reshape(tensor.shape), tensor.numpy())
        (text,) = said
        return text

    return run


@pytest.mark.parametrize("kind", ["", "integrated=0", "concurrent=1", "cc=11.0 driver=13000", "cc=9.0"])
def test_a_gpu_that_works_says_nothing(append, kind, tmp_path):
    log = tmp_path / "launches"
    assert append(EDGEKIT_EMULATED_GPU=f"{kind} launches={log}") == ""
    assert "edgekit_kv_append" in log.read_text()


def test_no_driver(append):
    said = append(LD_LIBRARY_PATH="")
    assert said.count("\n") == 1
    assert said.startswith("edgekit: a GPU was asked for, but none can be used: there is no libcuda.so.1")
    assert append(LD_LIBRARY_PATH="", EDGEKIT_GPU="") == append(LD_LIBRARY_PATH="", EDGEKIT_GPU="0") == ""


@pytest.mark.parametrize("use", ["", "0"])
def test_the_driver_is_not_opened_without_need(append, use):
    # An operator that opened it would end with the library's own complaint.
    assert append(EDGEKIT_GPU=use, LD_DEBUG="libs").count("libcuda") == 0


def test_an_old_driver_without_some_functions(append, built):
    folder = built("emulated_gpu").build / OPERATORS / "old_cuda"
    said = append(LD_LIBRARY_PATH=str(folder))
    assert said.count("\n") == 1
    assert "libcuda.so.1 has no cu" in said
    assert "update the driver" in said


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("driver=11040", "11.4"),
        ("cc=5.0", "5.0"),
        ("devices=0", "finds no GPU"),
        ("fail=cuInit:999", "finds no GPU (an emulated failure, 999)"),
        ("fail=cuDeviceGetAttribute:1", "does not say what it has"),
        ("fail=cuDevicePrimaryCtxRetain:2", "context cannot be had (out of memory, 2)"),
        ("fail=cuModuleLoadData:209", "does not take this library's GPU code (no kernel image"),
        ("fail=cuStreamCreate:2", "gives no queue for work"),
    ],
)
def test_a_gpu_that_cannot_be_used(append, kind, says):
    said = append(EDGEKIT_EMULATED_GPU=kind)
    assert said.count("\n") == 1
    assert "a GPU was asked for, but none can be used" in said
    assert says in said


@pytest.mark.parametrize("kind", ["", "integrated=0"])
@pytest.mark.parametrize(
    ("failure", "says"),
    [
        ("fail=cuMemcpyHtoDAsync_v2:1:2", "copy (invalid argument, 1)"),
        ("fail=cuModuleGetFunction:500", "edgekit_kv_append"),
        ("fail=cuLaunchKernel:701", "edgekit_kv_append"),
        ("fail=cuStreamSynchronize:719", "edgekit_kv_append"),
        ("fail=cuMemcpyDtoHAsync_v2:1", "copy"),
        ("fault=edgekit_kv_append_rows", "illegal memory access"),
    ],
)
def test_a_failure_in_the_middle(append, kind, failure, says):
    said = append(EDGEKIT_EMULATED_GPU=f"{kind} {failure}")
    assert said.count("\n") == 1
    assert "failed and is not used any more" in said
    assert says in said


@pytest.mark.parametrize("kind", ["memory=100", "memory=20000", "integrated=0 memory=20000"])
def test_memory_exhausted(append, kind):
    said = append(EDGEKIT_EMULATED_GPU=kind)
    assert said.count("\n") == 1
    assert "has no memory left" in said
