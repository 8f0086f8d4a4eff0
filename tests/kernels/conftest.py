"""What the operators' tests share: the instruction sets of this CPU, and programs that call operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit import kernels
from edgekit.errors import EdgekitError
from edgekit.native_log import captured_stderr


def _available() -> list[str]:
    found = []
    for name in kernels.ISAS:
        try:
            kernels.use_isa(name)
        except EdgekitError:
            continue
        found.append(name)
    kernels.use_isa(None)
    return found


#: The instruction sets of this CPU that have kernels; "scalar" is always one.
AVAILABLE = _available()


@pytest.fixture(params=AVAILABLE)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set in turn; the best one again afterwards."""
    kernels.use_isa(request.param)
    yield request.param
    kernels.use_isa(None)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads; what it was again afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def as_program() -> Callable[..., Callable[..., list[np.ndarray]]]:
    """A module, lowered to ExecuTorch, as a function of its inputs."""

    programs = []

    def lower(module: nn.Module, *inputs: Tensor) -> Callable[..., list[np.ndarray]]:
        with captured_stderr():
            import executorch.runtime
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            from edgekit.kernels.native import load_executorch_binding

            exported = torch.export.export(module.eval(), inputs)
            manager = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
            runtime = executorch.runtime.Runtime.get()
            load_executorch_binding()
            # A method does not keep its program alive.
            program = runtime.load_program(manager.buffer)
            programs.append(program)
            method = program.load_method("forward")

        def run(*arguments: Tensor) -> list[np.ndarray]:
            return [np.array(output.numpy()) for output in method.execute(list(arguments))]

        return run

    return lower
