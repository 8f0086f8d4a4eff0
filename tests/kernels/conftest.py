"""What the operators' tests share: the instruction sets of this CPU, and programs that call operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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


class Program:
    """A module, lowered to ExecuTorch, as a function of its inputs."""

    def __init__(self, module: nn.Module, *inputs: Tensor, dynamic_shapes: tuple[object, ...] | None = None) -> None:
        with captured_stderr():
            import executorch.runtime
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            from edgekit.kernels.native import load_executorch_binding

            exported = torch.export.export(module.eval(), inputs, dynamic_shapes=dynamic_shapes)
            manager = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
            runtime = executorch.runtime.Runtime.get()
            load_executorch_binding()
            self.buffer = bytes(manager.buffer)
            plan = manager.executorch_program.execution_plan[0]
            self.operators = {operator.name for operator in plan.operators}
            # A method does not keep its program alive.
            self._program = runtime.load_program(self.buffer, enable_etdump=True)
            self._method = self._program.load_method("forward")

    def __call__(self, *arguments: Tensor) -> list[np.ndarray]:
        return [np.array(output.numpy()) for output in self._method.execute(list(arguments))]

    def failure(self, *arguments: Tensor) -> str:
        """What the runtime logs while a run fails for what it was given."""
        with captured_stderr() as log, pytest.raises(RuntimeError, match="0x12"):
            self(*arguments)
        return log.text

    def profile(self, folder: Path, *arguments: Tensor) -> set[str]:
        """The names of what was timed in one run."""
        self(*arguments)
        with captured_stderr():
            from executorch.devtools import Inspector

            self._program.write_etdump_result_to_file(str(folder / "etdump"), str(folder / "debug"))
            blocks = Inspector(etdump_path=str(folder / "etdump")).event_blocks
        return {event.name for block in blocks for event in block.events}


@pytest.fixture
def as_program() -> type[Program]:
    """Lowers a module: `as_program(module, *inputs)`."""
    return Program
